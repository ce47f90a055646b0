"""Ending an update early, and refreshing, alike on both engines."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from types_boto3_iam import IAMClient

from engine.localaws import LocalAws
from stacks.automation import Stacks
from stacks.backend import Backend, EngineKind
from stacks.events import ResourceProgress
from stacks.failures import CANCELLED, StackError
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = pytest.param("embedded", id="embedded")
OFFICIAL = pytest.param("official", id="official", marks=pytest.mark.official)


@dataclass
class Users:
    """A stack of users, each made after the one before, so that there is a next one to begin."""

    stack_name: str
    count: int = 8
    version: str = "1"
    project_name: str = "stopping"

    def __call__(self) -> None:
        """Declare them."""
        before: list[pulumi.Resource] = []
        for number in range(self.count):
            opts = pulumi.ResourceOptions(depends_on=before[-1:])
            name = f"{self.stack_name}-{number}"
            tags = {"version": self.version}
            before.append(aws.iam.User(f"user-{number}", name=name, tags=tags, opts=opts))


class StopAfter:
    """Asks to stop as soon as one resource is done."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.done: list[str] = []

    def progress(self, progress: ResourceProgress) -> None:
        """Take note."""
        if progress.phase == "done":
            self.done.append(progress.name)
            self.asked.set()


def make_stacks(engine: EngineKind, directory: Path, local_aws: LocalAws) -> Stacks:
    """Stacks of a fresh file backend, our provider in the place of the official plugin."""
    (directory / "bin").mkdir()
    plugin = directory / "bin" / "pulumi-resource-aws"
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m engine.plugin.server "$@"\n')
    plugin.chmod(0o755)
    (directory / "state").mkdir()
    environment = {
        **local_aws.environment(),
        "PULUMI_HOME": str(directory / "home"),
        "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return Stacks(
        Backend(
            url=f"file://{directory / 'state'}",
            engine=engine,
            environment=environment,
            passphrase="correct horse",
            work_directory=directory / "work",
        )
    )


@pytest.fixture(params=[EMBEDDED, OFFICIAL])
def made(request: pytest.FixtureRequest, tmp_path: Path, local_aws: LocalAws) -> Iterator[Stacks]:
    """Stacks of each engine that is there."""
    yield make_stacks(request.param, tmp_path, local_aws)
    # An interrupted program leaves coroutines behind; they end here, not inside another test.
    gc.collect()


def recorded(stacks: Stacks, program: Users) -> set[str]:
    """Names of the users that the state holds."""
    state = stacks.export(program)
    assert state is not None
    assert state.pending_operations() == []
    return {it["id"] for it in state.resources() if it["type"] == "aws:iam/user:User"}


def in_aws(iam: IAMClient, program: Users) -> set[str]:
    """Names of the users that there are."""
    names = [user["UserName"] for user in iam.list_users()["Users"]]
    return {name for name in names if name.startswith(f"{program.stack_name}-")}


def many(stacks: Stacks) -> int:
    """So many users that the official program, asked ten times a second, is not done by then."""
    return 50 if stacks.engine == "official" else 8


def test_an_up_stops_before_the_next_resource(made: Stacks, iam: IAMClient, unique: str) -> None:
    """What ran is finished and recorded, nothing further begins, and a later `up` goes on."""
    program, stop = Users(unique, many(made)), StopAfter()
    with pytest.raises(StackError) as caught:
        made.up(program, stop.progress, should_stop=stop.asked.is_set)
    failure = caught.value.failure
    assert failure.code == CANCELLED
    assert "as asked. What had begun was finished and recorded." in failure.detail
    some = recorded(made, program)
    assert some == in_aws(iam, program)
    assert 1 <= len(some) < program.count
    if made.engine == "embedded":
        assert failure.detail.startswith("Stopped before User user-1 as asked")
        assert some == {f"{unique}-0"}
    made.up(program)
    assert len(recorded(made, program)) == program.count
    made.destroy(program)
    assert in_aws(iam, program) == set()


def test_a_destroy_stops_and_goes_on(made: Stacks, iam: IAMClient, unique: str) -> None:
    """The stack is kept with what is left in it."""
    program, stop = Users(unique, many(made)), StopAfter()
    made.up(program)
    with pytest.raises(StackError) as caught:
        made.destroy(program, stop.progress, should_stop=stop.asked.is_set)
    assert caught.value.failure.code == CANCELLED
    left = recorded(made, program)
    assert left == in_aws(iam, program)
    assert 1 <= len(left) < program.count
    made.destroy(program)
    assert in_aws(iam, program) == set()
    assert not made.exists(program)


def test_a_stop_before_the_begin_begins_nothing(made: Stacks, iam: IAMClient, unique: str) -> None:
    program = Users(unique)
    with pytest.raises(StackError) as caught:
        made.up(program, should_stop=lambda: True)
    assert caught.value.failure.code == CANCELLED
    assert caught.value.failure.detail == "Stopped as asked before anything was begun."
    assert not made.exists(program)


def test_a_stop_after_the_end_changes_nothing(made: Stacks, unique: str) -> None:
    """Whoever asks too late gets what was done."""
    program = Users(unique, 1)
    made.up(program, should_stop=lambda: False)
    assert len(recorded(made, program)) == 1
    made.destroy(program)


def test_a_refresh_tells_what_had_drifted(made: Stacks, iam: IAMClient, unique: str) -> None:
    """State becomes what AWS holds; the second time there is nothing to tell."""
    program = Users(unique, 3)
    made.up(program)
    iam.delete_user(UserName=f"{unique}-0")
    iam.tag_user(UserName=f"{unique}-1", Tags=[{"Key": "version", "Value": "by hand"}])
    assert len(made.drift(program)) == 2
    found = {drift.name: drift for drift in made.refresh(program)}
    assert {name: drift.kind for name, drift in found.items()} == {
        "user-0": "missing",
        "user-1": "changed",
    }
    assert "tags" in found["user-1"].properties
    assert recorded(made, program) == {f"{unique}-1", f"{unique}-2"}
    assert made.refresh(program) == []
    assert made.drift(program) == []
    made.up(program)
    assert made.drift(program) == []
    made.destroy(program)
    assert made.refresh(program) == []


def test_a_refresh_drops_pending_creations(made: Stacks, tmp_path: Path, unique: str) -> None:
    """As `refresh(clear_pending_creates=True)` does."""
    program = Users(unique, 1)
    made.up(program)
    path = tmp_path / "state" / ".pulumi" / "stacks" / program.project_name / f"{unique}.json"
    checkpoint = json.loads(path.read_text())
    latest = checkpoint["checkpoint"]["latest"]
    half = dict(latest["resources"][-1])
    half["urn"] = half["urn"].replace("user-0", "half")
    del half["id"]
    latest["pending_operations"] = [{"resource": half, "type": "creating"}]
    path.write_text(json.dumps(checkpoint))
    kept = made.export(program)
    assert kept is not None
    assert len(kept.pending_operations()) == 1
    assert made.refresh(program) == []
    assert recorded(made, program) == {f"{unique}-0"}
    made.destroy(program)


def test_a_refresh_stops_too(made: Stacks, unique: str) -> None:
    """What was not read stays as it was. The official program reads all at once: it may be done."""
    program, stop = Users(unique, 40 if made.engine == "embedded" else 3), StopAfter()
    made.up(program)
    codes = []
    try:
        made.refresh(program, stop.progress, should_stop=stop.asked.is_set)
    except StackError as error:
        codes.append(error.failure.code)
    assert codes == [CANCELLED] or made.engine == "official"
    assert not codes or len(stop.done) < program.count
    assert len(recorded(made, program)) == program.count
    made.destroy(program)


PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace

from tests.stacks.test_stopping import Users, make_stacks

directory, unique = Path(sys.argv[1]), sys.argv[2]
environment = dict(line.split("=", 1) for line in sys.stdin.read().splitlines())
aws = SimpleNamespace(environment=lambda: environment)
stacks = make_stacks("official", directory, aws)
stacks.up(Users(unique, 50))
stacks.destroy(Users(unique, 50), lambda p: print(p.phase, p.name, flush=True))
"""


@pytest.mark.official
def test_the_official_program_ends_with_its_parent(
    tmp_path: Path, local_aws: LocalAws, iam: IAMClient, unique: str
) -> None:
    """kill -9 of the service: the program ends what runs, records it and gives its lock back."""
    home = tmp_path / "killed"
    home.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home), unique],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write("\n".join(f"{k}={v}" for k, v in local_aws.environment().items()))
    parent.stdin.close()
    for line in parent.stdout:
        if line.startswith("done"):
            break
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    locks = home / "state" / ".pulumi" / "locks"
    until(lambda: not [path for path in locks.rglob("*.json") if path.is_file()])
    until(lambda: not processes_with(str(home)))
    assert in_aws(iam, Users(unique)), "it was destroyed to the end: nothing ties it to its parent"
    (tmp_path / "again").mkdir()
    stacks = make_stacks("official", tmp_path / "again", local_aws)
    over = Stacks(type(stacks.backend)(**{**vars(stacks.backend), "url": f"file://{home}/state"}))
    program = Users(unique, 50)
    assert recorded(over, program) == in_aws(iam, program)
    over.destroy(program)
    assert in_aws(iam, program) == set()


def processes_with(text: str) -> list[Any]:
    """Running processes that have a text in their environment or command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in words and folder.name != str(os.getpid()):
            found.append(folder.name)
    return found
