"""Point 1: the inline life cycle of the Automation API."""

from __future__ import annotations

import asyncio
import getpass
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import automation as auto
from types_boto3_iam import IAMClient

from tests.engine.conformance.conftest import PROJECT, Bench
from tests.engine.conformance.programs import client_program, nothing, two_users, user_program


def test_create_select(bench: Bench) -> None:
    """`Stack.create`, `Stack.select` and `Stack.create_or_select`"""
    auto.Stack.create("dev", bench.workspace())
    assert auto.Stack.select("dev", bench.workspace()).name == "dev"
    auto.Stack.create_or_select("dev", bench.workspace())
    auto.Stack.create_or_select("other", bench.workspace())
    assert bench.checkpoint_path("other").exists()


def test_create_twice(bench: Bench) -> None:
    """`StackAlreadyExistsError` for a stack that is there"""
    auto.Stack.create("dev", bench.workspace())
    with pytest.raises(auto.StackAlreadyExistsError):
        auto.Stack.create("dev", bench.workspace())


def test_select_nothing(bench: Bench) -> None:
    """`StackNotFoundError` for a stack that is not there"""
    auto.Stack.create("dev", bench.workspace())
    with pytest.raises(auto.StackNotFoundError):
        auto.Stack.select("nobody", bench.workspace())


def test_config(bench: Bench) -> None:
    """`set_config`, `get_config`, `get_all_config`, `remove_config`, by path too"""
    stack = bench.stack()
    stack.set_config("plain", auto.ConfigValue("value"))
    stack.set_config("tree.branch[0]", auto.ConfigValue("leaf"), path=True)
    assert stack.get_config("plain").value == "value"
    assert stack.get_config("tree.branch[0]", path=True).value == "leaf"
    everything = stack.get_all_config()
    assert set(everything) == {f"{PROJECT}:plain", f"{PROJECT}:tree"}
    assert json.loads(everything[f"{PROJECT}:tree"].value) == {"branch": ["leaf"]}
    stack.remove_config("plain")
    with pytest.raises(auto.CommandError, match="configuration key 'plain' not found"):
        stack.get_config("plain")


def test_all_config(bench: Bench) -> None:
    """`set_all_config` and `remove_all_config`"""
    stack = bench.stack()
    stack.set_all_config({"a": auto.ConfigValue("1=2"), "b": auto.ConfigValue("x", secret=True)})
    assert stack.get_config("a").value == "1=2"
    assert stack.get_config("b").secret
    stack.remove_all_config(["a", "b"])
    assert stack.get_all_config() == {}


def test_secret_config(bench: Bench) -> None:
    """Secrets in configuration: encrypted at rest, plain to the program"""
    seen: list[str | None] = []

    def program() -> None:
        config = pulumi.Config()
        config.require_secret("hidden").apply(seen.append)
        pulumi.export("hidden", config.require_secret("hidden"))

    stack = bench.stack(program)
    stack.set_config("hidden", auto.ConfigValue("hidden-config", secret=True))
    assert stack.get_config("hidden").value == "hidden-config"
    outputs = stack.up().outputs
    assert (outputs["hidden"].value, outputs["hidden"].secret) == ("hidden-config", True)
    assert set(seen) == {"hidden-config"}
    written = [path for path in bench.directory.rglob("*") if path.is_file()]
    assert not any(b"hidden-config" in path.read_bytes() for path in written)


def test_up(bench: Bench, iam: IAMClient) -> None:
    """`up`: result, summary and outputs; nothing to do the second time"""
    stack = bench.stack(client_program(bench.unique))
    result = stack.up(message="first")
    assert result.summary.result == "succeeded"
    assert result.summary.kind == "update"
    assert result.summary.message == "first"
    assert result.summary.resource_changes == {"create": 4}
    assert result.outputs["name"].value == bench.unique
    assert result.outputs["secret"].secret
    keys = iam.list_access_keys(UserName=bench.unique)["AccessKeyMetadata"]
    assert [key["AccessKeyId"] for key in keys] == [bench.recorded("key")["id"]]
    assert stack.up().summary.resource_changes == {"same": 4}


def test_up_changes(bench: Bench, iam: IAMClient) -> None:
    """`up` again: update in place, replacement, deletion of what is no longer wanted"""
    bench.stack(client_program(bench.unique)).up()
    changed = bench.stack(client_program(bench.unique, tag="2")).up()
    assert changed.summary.resource_changes == {"same": 3, "update": 1}
    tags = iam.list_user_tags(UserName=bench.unique)["Tags"]
    assert tags == [{"Key": "tag", "Value": "2"}]
    gone = bench.stack(nothing).up()
    assert gone.summary.resource_changes == {"same": 1, "delete": 3}
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=bench.unique)


def test_preview(bench: Bench) -> None:
    """`preview`: the summary of changes, and nothing is done"""
    stack = bench.stack(client_program(bench.unique))
    result = stack.preview()
    assert result.change_summary == {auto.OpType.CREATE: 4}
    assert bench.names() == []
    stack.up()
    assert stack.preview().change_summary == {auto.OpType.SAME: 4}


def test_refresh(bench: Bench, iam: IAMClient) -> None:
    """`refresh` and `preview_refresh`: drift is told, then recorded"""
    stack = bench.stack(user_program(bench.unique))
    stack.up()
    iam.tag_user(UserName=bench.unique, Tags=[{"Key": "drift", "Value": "yes"}])
    foretold = stack.preview_refresh().change_summary
    assert foretold[auto.OpType.UPDATE] == 1
    assert not bench.recorded("user")["outputs"].get("tags")
    assert stack.refresh().summary.resource_changes["update"] == 1  # type: ignore[index]  # there are changes
    assert bench.recorded("user")["outputs"]["tags"] == {"drift": "yes"}
    iam.delete_user(UserName=bench.unique)
    stack.refresh()
    assert bench.names() == []


def test_destroy(bench: Bench, iam: IAMClient) -> None:
    """`destroy` and `preview_destroy`"""
    stack = bench.stack(client_program(bench.unique))
    stack.up()
    assert stack.preview_destroy().change_summary == {auto.OpType.DELETE: 4}
    assert len(bench.names()) == 3
    assert stack.destroy().summary.resource_changes == {"delete": 4}
    assert bench.names() == []
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=bench.unique)


def test_destroy_and_remove(bench: Bench) -> None:
    """`destroy(remove=True)`"""
    stack = bench.stack(user_program(bench.unique))
    stack.up()
    stack.destroy(remove=True)
    assert bench.workspace().list_stacks() == []


def test_exclude_protected(bench: Bench) -> None:
    """`destroy(exclude_protected=True)` keeps what is protected"""
    stack = bench.stack(two_users(bench.unique, protect=True))
    stack.up()
    with pytest.raises(auto.CommandError, match="protected"):
        stack.destroy()
    stack.destroy(exclude_protected=True)
    assert bench.names() == ["first"]
    bench.stack(two_users(bench.unique, second=False)).up()
    stack.destroy()


def test_run_program(bench: Bench) -> None:
    """`run_program` on `refresh` and `destroy`: the program runs, its providers are used"""
    runs: list[bool] = []

    def program() -> None:
        runs.append(pulumi.runtime.is_dry_run())
        provider = aws.Provider("provider", region="eu-west-1")
        user = aws.iam.User(
            "user", name=bench.unique, opts=pulumi.ResourceOptions(provider=provider)
        )
        pulumi.export("name", user.name)

    def with_another() -> None:
        program()
        another = aws.iam.User("another", name=f"{bench.unique}-2")
        another.arn.apply(lambda _: runs.extend([True] * 100))

    stack = bench.stack(program)
    stack.up()
    before = len(runs)
    # What is not there is not made for it, and unknown to the program.
    bench.stack(with_another).refresh(run_program=True)
    assert len(runs) == before + 1
    assert bench.names() == ["provider", "user"]
    stack.destroy(run_program=True)
    assert len(runs) == before + 2
    assert bench.names() == []


def test_remove_stack(bench: Bench) -> None:
    """`remove_stack`: refused while there are resources, unless forced"""
    stack = bench.stack(user_program(bench.unique))
    stack.up()
    with pytest.raises(auto.CommandError, match="still has resources"):
        stack.workspace.remove_stack("dev")
    stack.workspace.remove_stack("dev", force=True)
    with pytest.raises(auto.StackNotFoundError):
        auto.Stack.select("dev", bench.workspace())


def test_outputs(bench: Bench) -> None:
    """`outputs`: every JSON type, and secrets told apart"""
    stack = bench.stack(user_program(bench.unique))
    assert stack.outputs() == {}
    stack.up()
    outputs = stack.outputs()
    assert outputs["facts"].value == {
        "numbers": [1, 2.5],
        "nothing": None,
        "yes": True,
        "text": "é",
    }
    assert not outputs["facts"].secret


def test_info_and_history(bench: Bench) -> None:
    """`info` and `history` with page size and page"""
    stack = bench.stack(nothing)
    assert stack.info() is None
    for message in ("first", "second", "third"):
        stack.up(message=message)
    assert [item.message for item in stack.history()] == ["third", "second", "first"]
    assert [item.message for item in stack.history(page_size=2, page=2)] == ["first"]
    latest = stack.info()
    assert latest is not None
    assert (latest.kind, latest.result, latest.message) == ("update", "succeeded", "third")


def test_export_and_import(bench: Bench) -> None:
    """`export_stack` and `import_stack`, secrets kept"""
    stack = bench.stack(client_program(bench.unique))
    stack.up()
    exported = stack.export_stack()
    assert exported.version == 3
    stack.import_stack(exported)
    assert "ciphertext" in bench.checkpoint_path().read_text()
    assert stack.preview().change_summary == {auto.OpType.SAME: 4}


def test_cancel(bench: Bench) -> None:
    """`cancel` takes a stack's lock away"""
    stack = bench.stack(nothing)
    lock = bench.state / ".pulumi/locks/organization" / PROJECT / "dev/0.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    owner = {"pid": 1, "username": "u", "hostname": "h", "timestamp": "2026-01-01T00:00:00Z"}
    lock.write_text(json.dumps(owner))
    stack.cancel()
    assert not lock.exists()
    stack.up()


def test_list_stacks(bench: Bench) -> None:
    """`list_stacks` and `workspace.stack`"""
    bench.stack(user_program(bench.unique), "one").up()
    workspace = bench.workspace()
    auto.Stack.create_or_select("two", workspace)
    listed = {item.name: item.resource_count for item in workspace.list_stacks()}
    assert listed["one"] == 3
    assert not listed["two"]
    assert all(not item.update_in_progress for item in workspace.list_stacks())
    # Which one is current: the Automation API always names the stack itself, see the notes.


def test_whoami(bench: Bench) -> None:
    """`who_am_i` and `pulumi_version`"""
    workspace = bench.workspace()
    assert workspace.who_am_i().user == getpass.getuser()
    assert workspace.who_am_i().url == f"file://{bench.state}"
    assert workspace.pulumi_version.startswith("3.")


def test_output_lines(bench: Bench) -> None:
    """`on_output` and `on_error`: lines as they come, secrets masked"""
    lines: list[str] = []
    errors: list[str] = []
    result = bench.stack(client_program(bench.unique)).up(
        on_output=lines.append, on_error=errors.append
    )
    secret = result.outputs["secret"].value
    assert any("Updating (dev)" in line for line in lines)
    assert any("aws:iam:User" in line or "aws:iam/user:User" in line for line in lines)
    assert any('"[secret]"' in line or "[secret]" in line for line in lines)
    assert not any(secret in line for line in (*lines, *errors))


def test_typed_events(bench: Bench) -> None:
    """`on_event`: prelude, resource pre, outputs, diagnostic and summary events, in order"""
    events: list[auto.EngineEvent] = []

    def program() -> None:
        user = aws.iam.User("user", name=bench.unique)
        pulumi.log.warn("a warning of the program")
        pulumi.export("name", user.name)

    bench.stack(program).up(on_event=events.append)
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)
    kinds = [_kind(event) for event in events]
    assert kinds.index("prelude") < kinds.index("pre") < kinds.index("outputs")
    assert kinds.index("outputs") < kinds.index("summary")
    summary = next(event.summary_event for event in events if event.summary_event)
    assert summary.resource_changes == {"create": 2}
    created = {
        event.res_outputs_event.metadata.urn.rsplit("::", 1)[-1]
        for event in events
        if event.res_outputs_event and event.res_outputs_event.metadata.op is auto.OpType.CREATE
    }
    assert "user" in created
    assert any("a warning of the program" in _message(event) for event in events)


def test_failure_events(bench: Bench, iam: IAMClient) -> None:
    """`on_event`: a failed operation and its diagnostic"""
    events: list[auto.EngineEvent] = []
    iam.create_user(UserName=bench.unique)
    with pytest.raises(auto.CommandError):
        bench.stack(user_program(bench.unique)).up(on_event=events.append)
    failed = [event.res_op_failed_event for event in events if event.res_op_failed_event]
    assert [item.metadata.urn.rsplit("::", 1)[-1] for item in failed] == ["user"]
    errors = [
        _message(event)
        for event in events
        if event.diagnostic_event and event.diagnostic_event.severity == "error"
    ]
    assert any("EntityAlreadyExists" in text for text in errors)


def _kind(event: auto.EngineEvent) -> str:
    kinds = {
        "prelude": event.prelude_event,
        "pre": event.resource_pre_event,
        "outputs": event.res_outputs_event,
        "diagnostic": event.diagnostic_event,
        "summary": event.summary_event,
    }
    return next((name for name, found in kinds.items() if found), "other")


def _message(event: auto.EngineEvent) -> str:
    return event.diagnostic_event.message if event.diagnostic_event else ""


def test_parallel(bench: Bench) -> None:
    """`parallel`"""
    stack = bench.stack(two_users(bench.unique))
    assert stack.up(parallel=1).summary.resource_changes == {"create": 3}
    stack.destroy(parallel=1)


def test_expect_no_changes(bench: Bench) -> None:
    """`expect_no_changes`"""
    stack = bench.stack(user_program(bench.unique))
    stack.up()
    stack.up(expect_no_changes=True)
    changed = bench.stack(two_users(bench.unique))
    with pytest.raises(auto.CommandError, match="no changes were expected"):
        changed.preview(expect_no_changes=True)


def test_async_program(bench: Bench) -> None:
    """Async programs"""

    async def program() -> None:
        await asyncio.sleep(0)
        user = aws.iam.User("user", name=bench.unique)
        await asyncio.sleep(0.01)
        pulumi.export("name", user.name)

    assert bench.stack(program).up().outputs["name"].value == bench.unique


def test_program_raises(bench: Bench) -> None:
    """A program that raises: `InlineSourceRuntimeError` with its traceback"""

    def program() -> None:
        aws.iam.User("user", name=bench.unique)
        raise RuntimeError("the program broke")

    with pytest.raises(auto.InlineSourceRuntimeError, match="the program broke") as caught:
        bench.stack(program).up()
    assert "Traceback" in str(caught.value)


def test_concurrent_update(bench: Bench) -> None:
    """`ConcurrentUpdateError` while another update holds the stack"""
    entered, leave = threading.Event(), threading.Event()

    def program() -> None:
        entered.set()
        leave.wait(60)

    slow, other = bench.stack(program), bench.stack(nothing)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow.up)
        try:
            assert entered.wait(60)
            with pytest.raises(auto.ConcurrentUpdateError):
                other.up()
        finally:
            leave.set()
        assert running.result().summary.result == "succeeded"


def test_many_at_once(bench: Bench) -> None:
    """Many stacks at once in one process do not mix"""

    def one(number: int) -> str:
        name = f"{bench.unique}-{number}"
        outputs = bench.stack(client_program(name), f"stack-{number}").up().outputs
        return str(outputs["name"].value)

    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(one, range(4)))
    assert names == [f"{bench.unique}-{number}" for number in range(4)]
    for number in range(4):
        urns = [item["urn"] for item in bench.latest(f"stack-{number}")["resources"]]
        assert all(f"urn:pulumi:stack-{number}::" in urn for urn in urns)
