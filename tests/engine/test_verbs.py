"""The verbs that the Automation API calls, beside those that change resources."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pulumi
import pytest
from pulumi import automation as auto

from engine.command import EmbeddedCommand
from tests.engine.conftest import PROJECT, Workbench, client_program


def run(workbench: Workbench, *args: str) -> str:
    command = EmbeddedCommand(provider=workbench.cloud.provider)
    return command.run(list(args), str(workbench.work), workbench.environment()).stdout


def test_create_and_select(workbench: Workbench) -> None:
    with pytest.raises(auto.StackNotFoundError, match="no stack named 'nobody' found"):
        auto.Stack.select("nobody", workbench.workspace())
    auto.Stack.create("somebody", workbench.workspace())
    with pytest.raises(auto.StackAlreadyExistsError):
        auto.Stack.create("somebody", workbench.workspace())
    auto.Stack.select("somebody", workbench.workspace())
    full = f"organization/{PROJECT}/somebody"
    assert auto.Stack.select(full, workbench.workspace()).name == full


@pytest.mark.parametrize(
    "name", ["..", ".", "a/../b", "a b", "x" * 101, "", "other/p/s", "a/b/c/d"]
)
def test_bad_stack_names_are_refused(workbench: Workbench, name: str) -> None:
    with pytest.raises(auto.CommandError):
        auto.Stack.create(name, workbench.workspace())
    assert list(workbench.state.rglob("stacks/**/*.json")) == []


def test_list_stacks(workbench: Workbench) -> None:
    workbench.stack(client_program, "one").up()
    workspace = workbench.workspace()
    auto.Stack.create_or_select("two", workspace)
    one, two = workspace.list_stacks()
    assert (one.name, one.resource_count, one.current) == ("one", 7, False)
    assert (two.name, two.resource_count, two.current) == ("two", 0, True)
    assert one.last_update is not None
    now = datetime.now(UTC).replace(tzinfo=None)
    assert abs(one.last_update - now) < timedelta(minutes=5)
    current = workspace.stack()
    assert current is not None
    assert current.name == "two"


def test_remove_stack(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    with pytest.raises(auto.CommandError, match="still has resources"):
        stack.workspace.remove_stack("ABC-LLC")
    stack.workspace.remove_stack("ABC-LLC", force=True)
    with pytest.raises(auto.StackNotFoundError):
        auto.Stack.select("ABC-LLC", workbench.workspace())
    assert not (workbench.state / ".pulumi/history" / PROJECT / "ABC-LLC").exists()


def test_destroy_and_remove(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    stack.destroy(remove=True)
    assert workbench.workspace().list_stacks() == []


def test_history_pages(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    assert stack.info() is None
    stack.up(message="first")
    stack.up(message="second")
    stack.destroy(message="third")
    assert [item.message for item in stack.history()] == ["third", "second", "first"]
    assert [item.message for item in stack.history(page_size=2, page=2)] == ["first"]
    latest = stack.info()
    assert latest is not None
    assert (latest.kind, latest.result) == ("destroy", "succeeded")
    assert latest.resource_changes == {"delete": 6}


def test_export_and_import(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    deployment = stack.export_stack()
    assert deployment.version == 3
    assert deployment.deployment is not None
    assert "plaintext" in json.dumps(deployment.deployment)
    before = workbench.latest()["resources"]
    stack.import_stack(deployment)
    after = workbench.latest()["resources"]
    assert [item["urn"] for item in after] == [item["urn"] for item in before]
    assert "plaintext" not in workbench.checkpoint_path().read_text()
    assert stack.up().summary.resource_changes == {"same": 6}


def test_import_of_another_stack_is_refused(workbench: Workbench) -> None:
    one = workbench.stack(client_program, "one")
    one.up()
    two = workbench.stack(client_program, "two")
    with pytest.raises(auto.CommandError, match="belongs to another stack"):
        two.import_stack(one.export_stack())


def test_config(workbench: Workbench) -> None:
    stack = workbench.stack()
    stack.set_config("plain", auto.ConfigValue("value"))
    stack.set_config("aws:region", auto.ConfigValue("eu-west-1"))
    stack.set_config("hidden", auto.ConfigValue("hidden-config", secret=True))
    stack.set_config("tree.branch[0]", auto.ConfigValue("leaf"), path=True)
    stack.set_config("tree.count", auto.ConfigValue("3"), path=True)
    assert stack.get_config("plain").value == "value"
    assert stack.get_config("hidden").value == "hidden-config"
    assert stack.get_config("hidden").secret
    assert stack.get_config("tree.branch[0]", path=True).value == "leaf"
    everything = stack.get_all_config()
    assert json.loads(everything[f"{PROJECT}:tree"].value) == {"branch": ["leaf"], "count": 3}
    assert set(everything) == {
        "aws:region",
        f"{PROJECT}:hidden",
        f"{PROJECT}:plain",
        f"{PROJECT}:tree",
    }
    settings = (workbench.work / "Pulumi.ABC-LLC.yaml").read_text()
    assert "hidden-config" not in settings
    assert "encryptionsalt: v1:" in settings
    stack.remove_config("plain")
    stack.remove_all_config(["aws:region", "tree"])
    assert set(stack.get_all_config()) == {f"{PROJECT}:hidden"}
    with pytest.raises(auto.CommandError, match="configuration key 'plain' not found"):
        stack.get_config("plain")


def test_set_all_config(workbench: Workbench) -> None:
    stack = workbench.stack()
    stack.set_all_config(
        {"a": auto.ConfigValue("1=2"), "b": auto.ConfigValue("hidden-config", secret=True)}
    )
    assert stack.get_config("a").value == "1=2"
    assert stack.get_config("b").secret
    stack.set_all_config_json('{"c": {"value": "x", "secret": false}}')
    assert stack.get_config("c").value == "x"


def test_programs_see_config_and_history_hides_it(workbench: Workbench) -> None:
    def program() -> None:
        config = pulumi.Config()
        pulumi.export("plain", config.require("plain"))
        pulumi.export("hidden", config.require_secret("hidden"))
        pulumi.export("where", f"{pulumi.get_project()}/{pulumi.get_stack()}")

    stack = workbench.stack(program)
    stack.set_config("plain", auto.ConfigValue("value"))
    stack.set_config("hidden", auto.ConfigValue("hidden-config", secret=True))
    result = stack.up()
    assert result.outputs["plain"].value == "value"
    assert result.outputs["hidden"].secret
    assert result.outputs["where"].value == f"{PROJECT}/ABC-LLC"
    assert result.summary.config[f"{PROJECT}:hidden"].value == "hidden-config"
    prelude = next(event["preludeEvent"] for event in workbench.events if "preludeEvent" in event)
    assert prelude["config"][f"{PROJECT}:hidden"] == "[secret]"
    written = b"".join(path.read_bytes() for path in workbench.state.rglob("*.json"))
    assert b"hidden-config" not in written


def test_default_provider_takes_its_config(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.set_config("aws:region", auto.ConfigValue("eu-west-3"))
    stack.up()
    assert workbench.resource("default_7_51_1")["inputs"] == {
        "region": "eu-west-3",
        "version": "7.51.1",
    }


def test_who_version_plugins(workbench: Workbench) -> None:
    workspace = workbench.workspace()
    assert workspace.who_am_i().url == f"file://{workbench.state}"
    assert workspace.pulumi_version == str(pulumi._version.version)
    assert run(workbench, "version") == f"v{workspace.pulumi_version}"
    assert workspace.list_plugins() == []


def test_output_of_one_name(workbench: Workbench) -> None:
    workbench.stack(client_program).up()
    assert run(workbench, "stack", "output", "user", "--stack", "ABC-LLC") == "ABC-LLC"
    assert run(workbench, "stack", "output", "secret", "--stack", "ABC-LLC") == "[secret]"
    with pytest.raises(auto.CommandError, match="does not have output property 'nothing'"):
        run(workbench, "stack", "output", "nothing", "--stack", "ABC-LLC")


@pytest.mark.parametrize(
    "args",
    [
        ("watch",),
        ("stack", "rename", "x"),
        ("stack", "tag", "ls"),
        ("import",),
        ("install",),
        ("up", "--target", "x", "--stack", "ABC-LLC"),
        ("up", "--plan", "x", "--stack", "ABC-LLC"),
        ("up", "--clear-pending-creates", "--stack", "ABC-LLC"),
        ("up", "--run-program=false", "--stack", "ABC-LLC"),
        ("preview", "--json", "--stack", "ABC-LLC"),
        ("stack", "select", "--create", "x"),
    ],
)
def test_other_verbs_and_flags_are_refused_by_name(
    workbench: Workbench, args: tuple[str, ...]
) -> None:
    with pytest.raises(auto.CommandError, match="not supported by the embedded engine") as failure:
        run(workbench, *args)
    assert "official `pulumi` program" in str(failure.value)
    named = args[1] if args[0] == "stack" else next((a for a in args if a[:2] == "--"), args[0])
    assert named.split("=")[0] in str(failure.value)


@pytest.mark.parametrize(
    "url", ["", "s3://bucket", "https://api.pulumi.com", "file://relative", "file://~"]
)
def test_other_backends_are_refused(workbench: Workbench, url: str) -> None:
    workbench.extra_environment["PULUMI_BACKEND_URL"] = url
    with pytest.raises(auto.CommandError, match="official `pulumi` program for other backends"):
        workbench.stack(client_program)


def test_other_secrets_providers_are_refused(workbench: Workbench) -> None:
    with pytest.raises(auto.CommandError, match="'awskms' is not known"):
        run(workbench, "stack", "init", "x", "--secrets-provider", "awskms://alias/key")


def test_no_program_is_told(workbench: Workbench) -> None:
    with pytest.raises(auto.CommandError, match="there is no program to run"):
        workbench.stack().up()


def test_the_old_layout_is_refused(tmp_path: Path, workbench: Workbench) -> None:
    state = tmp_path / "old"
    (state / ".pulumi/stacks").mkdir(parents=True)
    (state / ".pulumi/stacks/x.json").write_text("{}")
    workbench.extra_environment["PULUMI_BACKEND_URL"] = f"file://{state}"
    with pytest.raises(auto.CommandError, match="pulumi state upgrade"):
        workbench.stack(client_program)


def test_the_process_environment_is_left_alone(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://not-this-one")
    workbench.stack(client_program).up()
    assert workbench.checkpoint_path().exists()


def test_events_reach_the_automation_api_in_order(workbench: Workbench) -> None:
    seen: list[auto.EngineEvent] = []
    workbench.stack(client_program).up(on_event=seen.append)
    assert [event.sequence for event in seen] == list(range(len(seen)))
    assert seen[0].prelude_event is not None
    assert seen[-1].cancel_event is not None
    summary = seen[-2].summary_event
    assert summary is not None
    assert summary.resource_changes == {"create": 6}
    for name in ("user", "key-1"):
        before = [i for i, e in enumerate(seen) if _names(e.resource_pre_event, name)]
        after = [i for i, e in enumerate(seen) if _names(e.res_outputs_event, name)]
        assert len(before) == len(after) == 1
        assert before < after


def _names(event: object, name: str) -> bool:
    metadata = getattr(event, "metadata", None)
    return metadata is not None and metadata.urn.endswith(f"::{name}")


def test_events_may_go_to_a_file(workbench: Workbench) -> None:
    workbench.stack(client_program)
    command = EmbeddedCommand(program=client_program, provider=workbench.cloud.provider)
    path = workbench.directory / "events.jsonl"
    command.run(
        ["up", "--yes", "--stack", "ABC-LLC", "--event-log", str(path)],
        str(workbench.work),
        workbench.environment(),
    )
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert "cancelEvent" in events[-1]


def test_output_comes_line_by_line(workbench: Workbench) -> None:
    lines: list[str] = []
    errors: list[str] = []
    result = workbench.stack(client_program).up(on_output=lines.append, on_error=errors.append)
    assert "\n".join(lines) == result.stdout
    assert lines[0] == "Updating (ABC-LLC):"
    assert any("aws:iam/user:User user created" in line for line in lines)
    assert '    secret: "[secret]"' in lines
    assert errors == []
