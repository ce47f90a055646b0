"""Failures in the middle, crashes and locks: nothing made is ever lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import automation as auto

from engine.locks import locked
from engine.provider import ProviderError
from tests.engine.conftest import PASSPHRASE, PROJECT, Workbench, client_program
from tests.waiting import PATIENCE, until

DENIED = ProviderError("AccessDenied", "not authorized to perform iam:CreateAccessKey")


def pending(workbench: Workbench) -> list[tuple[str, str]]:
    operations = workbench.latest().get("pending_operations", [])
    return [(item["type"], item["resource"]["urn"].rsplit("::", 1)[-1]) for item in operations]


@pytest.mark.parametrize("inline", [False, True], ids=["in process", "gRPC"])
def test_a_failed_create_leaves_the_others_recorded(workbench: Workbench, inline: bool) -> None:
    workbench.cloud.refuse["create", "key-1"] = DENIED
    stack = workbench.stack(client_program, inline=inline)
    with pytest.raises(auto.CommandError) as failure:
        stack.up()
    text = str(failure.value)
    assert "AccessDenied: not authorized to perform iam:CreateAccessKey" in text
    assert "urn:pulumi:ABC-LLC::handover-clients::aws:iam/accessKey:AccessKey::key-1" in text
    assert type(failure.value) is auto.CommandError
    assert "has terminated" not in text, "the program's complaint about the end is no news"
    assert pending(workbench) == []
    made = {name for kind, name in workbench.cloud.things}
    recorded = {item["id"] for item in workbench.latest()["resources"] if item["custom"]}
    assert made <= recorded
    assert "AccessDenied" in workbench.diagnostics()
    assert ("create", "key-1") in workbench.ops("resOpFailedEvent")
    assert stack.history()[0].result == "failed"
    workbench.cloud.refuse.clear()
    assert stack.up().summary.result == "succeeded"
    assert len(workbench.cloud.things) == 5


def test_an_outcome_that_nobody_knows_stays_pending(workbench: Workbench) -> None:
    workbench.cloud.refuse["create", "key-1"] = ProviderError(
        "ReadTimeout", "no answer", retryable=True
    )
    stack = workbench.stack(client_program)
    with pytest.raises(auto.CommandError, match="ReadTimeout"):
        stack.up()
    assert pending(workbench) == [("creating", "key-1")]


def test_a_provider_that_breaks_fails_its_step_only(workbench: Workbench) -> None:
    workbench.cloud.refuse["create", "key-1"] = KeyError("surprise")
    with pytest.raises(auto.CommandError, match=r"KeyError: 'surprise'"):
        workbench.stack(client_program).up()
    assert pending(workbench) == [("creating", "key-1")]


def test_a_half_made_resource_is_recorded_and_finished(workbench: Workbench) -> None:
    half = ("ABC-LLC", {"name": "ABC-LLC", "arn": "arn:half"})
    workbench.cloud.things["aws:iam/user:User", "ABC-LLC"] = half[1]
    workbench.cloud.refuse["create", "ABC-LLC"] = ProviderError(
        "LimitExceeded", "too many tags", partial=half
    )
    stack = workbench.stack(client_program)
    with pytest.raises(auto.CommandError, match="LimitExceeded"):
        stack.up()
    assert workbench.resource("user")["initErrors"] == ["LimitExceeded: too many tags"]
    workbench.cloud.refuse.clear()
    stack.up()
    assert workbench.cloud.acts("update") == ["ABC-LLC"]
    assert "initErrors" not in workbench.resource("user")


def test_a_failed_update_keeps_the_old_state(workbench: Workbench) -> None:
    def program(value: str) -> None:
        aws.iam.User("user", name="ada", tags={"a": value})

    workbench.stack(lambda: program("1")).up()
    workbench.cloud.refuse["update", "ada"] = DENIED
    with pytest.raises(auto.CommandError, match=r"updating aws:iam/user:User 'user'"):
        workbench.stack(lambda: program("2")).up()
    assert workbench.resource("user")["inputs"]["tags"] == {"a": "1"}
    assert pending(workbench) == []


def test_a_failed_delete_keeps_what_it_depends_on(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    workbench.cloud.refuse["delete", "key-1"] = DENIED
    with pytest.raises(auto.CommandError, match=r"deleting aws:iam/accessKey:AccessKey 'key-1'"):
        stack.destroy()
    assert "ABC-LLC" not in workbench.cloud.acts("delete")
    assert workbench.resource("key-1")["id"] == "key-1"
    workbench.cloud.refuse.clear()
    stack.destroy()
    assert workbench.cloud.things == {}


def test_a_failed_replacement_keeps_the_original(workbench: Workbench) -> None:
    def program(path: str) -> None:
        aws.iam.User("user", name="ada", path=path)

    workbench.stack(lambda: program("/a/")).up()
    with pytest.raises(auto.CommandError, match="EntityAlreadyExists"):
        workbench.stack(lambda: program("/b/")).up()
    assert workbench.resource("user")["inputs"]["path"] == "/a/"
    assert "delete" not in workbench.resource("user")
    assert workbench.cloud.acts("delete") == []


@pytest.mark.parametrize("inline", [False, True], ids=["in process", "gRPC"])
def test_a_program_that_raises(workbench: Workbench, inline: bool) -> None:
    def program() -> None:
        aws.iam.User("user", name="ada")
        raise RuntimeError("the program broke")

    with pytest.raises(auto.InlineSourceRuntimeError, match="the program broke") as failure:
        workbench.stack(program, inline=inline).up()
    assert "Traceback" in str(failure.value)
    assert workbench.stack().history()[0].result == "failed"


def test_what_a_failing_program_has_begun_is_awaited(workbench: Workbench) -> None:
    """The lock must not be given back, nor the state closed, while a resource is being made."""
    begun = threading.Event()
    workbench.cloud.refuse = Waiting(begun)  # type: ignore[assignment]

    def program() -> None:
        aws.s3.BucketObjectv2("slow", bucket="b", key="k", content="")
        aws.iam.User("user", name="fails")

    with pytest.raises(auto.CommandError, match="AccessDenied"):
        workbench.stack(program).up()
    assert ("aws:s3/bucketObjectv2:BucketObjectv2", "slow") in workbench.cloud.things
    assert workbench.resource("slow")["id"] == "slow"
    assert pending(workbench) == []


class Waiting:
    """Refuses the user once the object is being made, and lets the object take its time."""

    def __init__(self, begun: threading.Event) -> None:
        self.begun, self.refused = begun, threading.Event()

    def get(self, key: tuple[str, str]) -> Exception | None:
        if key == ("create", "slow"):
            self.begun.set()
            self.refused.wait(PATIENCE)
            time.sleep(0.3)  # the refusal goes its way meanwhile
            return None
        self.begun.wait(PATIENCE)
        self.refused.set()
        return DENIED


def test_a_program_that_raises_deletes_nothing(workbench: Workbench) -> None:
    def program() -> None:
        raise RuntimeError("the program broke")

    workbench.stack(client_program).up()
    with pytest.raises(auto.InlineSourceRuntimeError):
        workbench.stack(program).up()
    assert workbench.cloud.acts("delete") == []
    assert len(workbench.latest()["resources"]) == 7


CRASHING = """
import os, pathlib, signal, sys
from tests.engine.conftest import Workbench, client_program

bench = Workbench(pathlib.Path(sys.argv[1]))

class Killer(dict):
    def get(self, key, default=None):
        if key == (sys.argv[2], sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return default

bench.cloud.refuse = Killer()
for name in sys.argv[4:]:
    getattr(bench.stack(client_program), name)()
"""


def crash(workbench: Workbench, act: str, name: str, *verbs: str) -> None:
    command = [sys.executable, "-c", CRASHING, str(workbench.directory), act, name, *verbs]
    ended = subprocess.run(command, check=False, cwd=Path(__file__).parents[2], timeout=60)
    assert ended.returncode == -signal.SIGKILL


def test_killed_in_a_create(workbench: Workbench) -> None:
    crash(workbench, "create", "key-1", "up")
    assert ("creating", "key-1") in pending(workbench)
    assert workbench.resource("user")["id"] == "ABC-LLC"
    locks = list((workbench.state / ".pulumi/locks").rglob("*.json"))
    assert len(locks) == 1

    stack = workbench.stack(client_program)
    workbench.cloud.things["aws:iam/user:User", "ABC-LLC"] = {}
    stack.up()
    assert "took over a lock whose process is dead" in workbench.diagnostics("warning")
    assert "key-1, interrupted while creating" in workbench.diagnostics("warning")
    assert list((workbench.state / ".pulumi/locks").rglob("*.json")) == []


def test_killed_in_a_delete(workbench: Workbench) -> None:
    crash(workbench, "delete", "key-1", "up", "destroy")
    assert ("deleting", "key-1") in pending(workbench)
    assert workbench.resource("key-1")["id"] == "key-1"
    workbench.stack().destroy()
    assert "resources" not in workbench.latest()
    assert pending(workbench) == []


def test_pending_creates_stay_until_they_are_cleared(workbench: Workbench) -> None:
    crash(workbench, "create", "key-1", "up")
    stack = workbench.stack(client_program)
    left = [item for item in pending(workbench) if item[0] == "creating"]
    names = {name for _, name in left}
    stack.cancel()
    assert {name for _, name in pending(workbench)} == names
    stack.up()
    assert {name for _, name in pending(workbench)} == names
    stack.refresh()
    assert {name for _, name in pending(workbench)} == names
    stack.destroy()
    assert {name for _, name in pending(workbench)} == names
    stack.refresh(clear_pending_creates=True)
    assert pending(workbench) == []


def test_import_drops_pending_operations(workbench: Workbench) -> None:
    crash(workbench, "create", "key-1", "up")
    stack = workbench.stack(client_program)
    stack.import_stack(stack.export_stack())
    assert pending(workbench) == []


def write_lock(workbench: Workbench, pid: int, hostname: str, name: str = "ABC-LLC") -> Path:
    directory = workbench.state / ".pulumi/locks/organization" / PROJECT / name
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "4d3b9f1c-0000-4000-8000-000000000000.json"
    owner = {
        "pid": pid,
        "username": "somebody",
        "hostname": hostname,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    path.write_text(json.dumps(owner))
    return path


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_living_lock_is_respected_and_named(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    lock = write_lock(workbench, os.getppid(), socket.gethostname())
    for verb in (stack.up, stack.destroy, stack.refresh):
        with pytest.raises(auto.ConcurrentUpdateError, match=r"the stack is currently locked by"):
            verb()
    with pytest.raises(auto.ConcurrentUpdateError, match=f"somebody@.*pid {os.getppid()}"):
        stack.up()
    assert lock.exists()
    assert workbench.cloud.log == []
    stack.preview()
    stack.cancel()
    assert not lock.exists()
    stack.up()


def test_a_lock_of_another_machine_is_respected(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    write_lock(workbench, dead_pid(), "another-machine")
    with pytest.raises(auto.ConcurrentUpdateError, match="another-machine"):
        stack.up()


def test_the_lock_of_a_dead_process_is_taken_over(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    lock = write_lock(workbench, dead_pid(), socket.gethostname())
    stack.up()
    assert not lock.exists()


def test_a_lock_of_a_former_process_with_our_pid_is_taken_over(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    lock = write_lock(workbench, os.getpid(), socket.gethostname())
    stack.up()
    assert not lock.exists()


def test_an_unreadable_lock_is_respected(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    write_lock(workbench, 1, "x").write_text("")
    with pytest.raises(auto.ConcurrentUpdateError):
        stack.up()


def test_a_process_killed_while_it_writes_its_lock_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written lock would count as one of the living for ever."""
    write, seen = os.write, []

    def watched(descriptor: int, content: bytes) -> int:
        seen.append(list(tmp_path.iterdir()))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", watched)
    with locked(tmp_path):
        [lock] = tmp_path.iterdir()
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert seen == [[]]


def test_two_updates_of_one_stack_at_once(workbench: Workbench) -> None:
    entered, leave = threading.Event(), threading.Event()

    def program() -> None:
        entered.set()
        leave.wait(PATIENCE)
        aws.iam.User("user", name="ada")

    slow = workbench.stack(program)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow.up)
        assert entered.wait(PATIENCE)
        with pytest.raises(auto.ConcurrentUpdateError):
            workbench.stack(client_program).up()
        assert workbench.workspace().list_stacks()[0].update_in_progress
        leave.set()
        assert running.result().summary.result == "succeeded"


def test_sixteen_stacks_at_once_do_not_mix(workbench: Workbench) -> None:
    def one(number: int) -> auto.OutputMap:
        name = f"client-{number}"

        def program() -> None:
            user = aws.iam.User("user", name=name)
            key = aws.iam.AccessKey(f"key-{number}", user=user.name)
            aws.s3.BucketObjectv2(f"object-{number}", bucket="b", key=name, content="")
            pulumi.export("user", user.name)
            pulumi.export("secret", key.secret)

        return workbench.stack(program, name).up().outputs

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(16)))
    assert [outputs["user"].value for outputs in results] == [f"client-{n}" for n in range(16)]
    for number in range(16):
        urns = [item["urn"] for item in workbench.latest(f"client-{number}")["resources"]]
        assert all(f"urn:pulumi:client-{number}::" in urn for urn in urns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is corrupt"),
        (b"[]", "is corrupt"),
        (b'{"version":3}', "is corrupt"),
        (b'{"version":3,"checkpoint":{"latest":{"resources":[{"urn":"x"}]}}}', "is corrupt"),
        (b'{"version":9,"checkpoint":{}}', "has version 9"),
        (b'{"version":4,"features":["views"],"checkpoint":{}}', "features: views"),
    ],
)
def test_a_checkpoint_that_cannot_be_trusted(
    workbench: Workbench, content: bytes, message: str
) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    path = workbench.checkpoint_path()
    path.unlink()
    path.write_bytes(content)
    for verb in (stack.up, stack.preview, stack.destroy, stack.refresh, stack.outputs):
        with pytest.raises(auto.CommandError, match=message) as failure:
            verb()
        assert str(path) in str(failure.value)
    assert path.read_bytes() == content
    assert "the last good backup is" in str(failure.value)


def test_a_disk_that_refuses_is_told(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    directory = workbench.checkpoint_path().parent
    path = workbench.checkpoint_path()
    content = path.read_bytes()
    path.unlink()
    directory.rmdir()
    directory.write_bytes(content)
    with pytest.raises(auto.CommandError, match="could not be read or written"):
        stack.up()


def test_wrong_passphrase(workbench: Workbench) -> None:
    workbench.stack(client_program).up()
    workbench.extra_environment["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE + "!"
    with pytest.raises(auto.CommandError, match="incorrect passphrase"):
        workbench.stack(client_program).up()


def test_nothing_is_left_behind(workbench: Workbench) -> None:
    threads = set(threading.enumerate())
    stack = workbench.stack(client_program)
    for _ in range(3):
        stack.up()
    stack.destroy()
    until(lambda: set(threading.enumerate()) <= threads)
    assert list(workbench.state.rglob("*.tmp")) == []
    assert not any(
        path.suffix == ".json" for path in (workbench.state / ".pulumi/locks").rglob("*")
    )


def test_backups_and_history_stay_bounded(workbench: Workbench) -> None:
    stack = workbench.stack(lambda: None)
    for _ in range(14):
        stack.up()
    backups = workbench.state / ".pulumi/backups" / PROJECT / "ABC-LLC"
    assert len(list(backups.iterdir())) == 10
    assert len(stack.history()) == 14
    history = workbench.state / ".pulumi/history" / PROJECT / "ABC-LLC"
    assert len(list(history.glob("*.checkpoint.json"))) == 10


def replaced_first(path: str, *, with_user: bool = True) -> None:
    """A user that is deleted before it is replaced, and two things that depend on it."""
    if not with_user:
        return
    first = pulumi.ResourceOptions(delete_before_replace=True)
    user = aws.iam.User("user", name="ada", path=path, opts=first)
    aws.iam.UserPolicy("policy", user=user.arn, name="policy", policy="{}")
    after = pulumi.ResourceOptions(depends_on=[user])
    aws.s3.BucketObjectv2("bystander", bucket="b", key="k", content="", opts=after)


def test_a_replacement_that_got_half_way_is_finished(workbench: Workbench) -> None:
    workbench.stack(lambda: replaced_first("/a/")).up()
    workbench.cloud.refuse["create", "ada"] = DENIED
    with pytest.raises(auto.CommandError, match="AccessDenied"):
        workbench.stack(lambda: replaced_first("/b/")).up()
    assert workbench.resource("user")["pendingReplacement"] is True
    assert workbench.resource("policy")["pendingReplacement"] is True
    assert "pendingReplacement" not in workbench.resource("bystander")
    workbench.cloud.refuse.clear()
    workbench.cloud.log.clear()
    workbench.stack(lambda: replaced_first("/b/")).up()
    assert workbench.cloud.log == [("create", "ada"), ("create", "policy")]
    assert not any(item.get("pendingReplacement") for item in workbench.latest()["resources"])


def test_a_replacement_that_got_half_way_and_is_no_longer_wanted(workbench: Workbench) -> None:
    workbench.stack(lambda: replaced_first("/a/")).up()
    workbench.cloud.refuse["create", "ada"] = DENIED
    with pytest.raises(auto.CommandError, match="AccessDenied"):
        workbench.stack(lambda: replaced_first("/b/")).up()
    workbench.cloud.log.clear()
    workbench.stack(lambda: replaced_first("/b/", with_user=False)).up()
    assert workbench.cloud.log == [("delete", "bystander")]
    assert len(workbench.latest()["resources"]) == 1


def test_a_half_way_replacement_can_be_destroyed(workbench: Workbench) -> None:
    workbench.stack(lambda: replaced_first("/a/")).up()
    workbench.cloud.refuse["create", "ada"] = DENIED
    stack = workbench.stack(lambda: replaced_first("/b/"))
    with pytest.raises(auto.CommandError, match="AccessDenied"):
        stack.up()
    workbench.cloud.log.clear()
    stack.destroy()
    assert workbench.cloud.log == [("delete", "bystander")]
    assert "resources" not in workbench.latest()
