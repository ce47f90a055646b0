"""Small parts of the engine on their own."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pulumi
import pulumi_aws as aws
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi import automation as auto

from engine import project
from engine.arguments import parse
from engine.backend import open_backend, parse_stack_name
from engine.checkpoint import CheckpointEncoder, decode_checkpoint
from engine.command import EmbeddedCommand
from engine.configuration import get_value, remove_value, set_value
from engine.deletions import levels
from engine.durations import parse_duration
from engine.errors import CheckpointError, EngineError, UnsupportedError
from engine.files import link_or_copy, write_atomically
from engine.properties import (
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    Secret,
    from_struct,
    path_keys,
    plain,
    to_struct,
    with_old_values,
    with_secrets_of,
)
from engine.secrets import PassphraseSecrets
from engine.serialization import resource_from_json, resource_to_json
from engine.snapshots import SnapshotManager
from engine.state import ResourceState, Snapshot
from engine.steps import Op, Step
from engine.urn import make_urn, parse_urn
from tests.engine.conftest import PASSPHRASE, PROJECT, Workbench, client_program
from tests.waiting import PATIENCE, until

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=10,
)


def component(name: str) -> ResourceState:
    """A resource that needs no provider."""
    return resource(name).changed(custom=False, id="")


def resource(name: str, *needs: str) -> ResourceState:
    urns = tuple(make_urn("s", "p", "", "t:m:T", need) for need in needs)
    return ResourceState(
        make_urn("s", "p", "", "t:m:T", name), "t:m:T", custom=True, id=name, dependencies=urns
    )


@given(st.dictionaries(st.text("abc"), JSON_VALUES, max_size=3))
def test_any_value_travels_to_a_program_and_back(properties: dict[str, object]) -> None:
    wrapped = {key: Secret(value) for key, value in properties.items()}
    assert from_struct(to_struct(properties)) == properties
    assert from_struct(to_struct(wrapped)) == wrapped


@given(st.dictionaries(st.text("abc"), JSON_VALUES, max_size=3))
@settings(max_examples=50)
def test_any_value_survives_a_checkpoint(
    salt_for_properties: str, properties: dict[str, object]
) -> None:
    secrets = PassphraseSecrets(salt_for_properties, PASSPHRASE)
    state = component("a").changed(inputs=properties, outputs={"hidden": Secret(properties)})
    data = CheckpointEncoder("organization/p/s", secrets).encode(Snapshot((state,)))
    read = decode_checkpoint(data, "here", lambda _: secrets).snapshot.resources[0]
    assert read.inputs == properties
    assert read.outputs == {"hidden": Secret(properties)}


@pytest.fixture(scope="session")
def salt_for_properties(salt: str) -> str:
    """The shared salt, in the scope that hypothesis wants."""
    return salt


def test_fields_of_the_official_program_are_carried_along(salt: str) -> None:
    secrets = PassphraseSecrets(salt, PASSPHRASE)
    state = component("a").changed(extra={"sourcePosition": "project:///main.py#3"})
    data = CheckpointEncoder("organization/p/s", secrets).encode(Snapshot((state,)))
    read = decode_checkpoint(data, "here", lambda _: secrets).snapshot.resources[0]
    assert read.extra == {"sourcePosition": "project:///main.py#3"}


def test_a_secret_inside_a_secret_is_read_as_the_official_program_writes_it(salt: str) -> None:
    secrets = PassphraseSecrets(salt, PASSPHRASE)
    inner = {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": json.dumps("deep")}
    outer = {
        SIGNATURE_KEY: SECRET_SIGNATURE,
        "ciphertext": secrets.encrypt(json.dumps({"a": inner})),
    }
    item = {"urn": resource("a").urn, "type": "t:m:T", "custom": True, "inputs": {"p": outer}}
    state = resource_from_json(item, secrets)
    assert plain(state.inputs) == {"p": {"a": "deep"}}
    written = resource_to_json(state, secrets.encrypt)
    assert "deep" not in json.dumps(written)
    assert plain(resource_from_json(written, secrets).inputs) == {"p": {"a": "deep"}}


@pytest.mark.parametrize(
    "resources",
    [
        (resource("a", "missing"),),
        (resource("b", "a"), resource("a")),
        (resource("a"), resource("a")),
        (resource("a").changed(custom=False),),
    ],
)
def test_a_snapshot_out_of_order_is_refused(
    salt: str, resources: tuple[ResourceState, ...]
) -> None:
    secrets = PassphraseSecrets(salt, PASSPHRASE)
    data = CheckpointEncoder("organization/p/s", secrets).encode(Snapshot(resources))
    with pytest.raises(CheckpointError, match=r"the checkpoint here is corrupt"):
        decode_checkpoint(data, "here", lambda _: secrets)


def test_intents_that_come_together_share_a_write() -> None:
    written: list[Snapshot] = []
    gate = threading.Event()

    def write(snapshot: Snapshot) -> None:
        written.append(snapshot)
        if len(written) == 1:
            gate.wait(PATIENCE)

    manager = SnapshotManager(Snapshot(), [], write)
    first = threading.Thread(target=manager.begin, args=("creating", resource("first")))
    first.start()
    until(lambda: written)
    others = [
        threading.Thread(target=manager.begin, args=("creating", resource(f"r{number}")))
        for number in range(10)
    ]
    for thread in others:
        thread.start()
    until(lambda: len(manager.current().pending_operations) == 11)
    gate.set()
    for thread in (first, *others):
        thread.join(PATIENCE)
    assert [len(snapshot.pending_operations) for snapshot in written] == [1, 11]
    manager.close()


def test_a_write_that_fails_reaches_everybody_who_waits() -> None:
    def write(snapshot: Snapshot) -> None:
        raise OSError(28, "No space left on device")

    manager = SnapshotManager(Snapshot(), [], write)
    with pytest.raises(OSError, match="No space left"):
        manager.begin("creating", resource("a"))
    with pytest.raises(OSError, match="No space left"):
        manager.close()


def test_an_outcome_is_written_without_being_awaited() -> None:
    written: list[Snapshot] = []
    manager = SnapshotManager(Snapshot(), [], written.append)
    operation = manager.begin("creating", resource("a"))
    manager.end(operation, new=resource("a"))
    until(lambda: len(written) == 2)
    assert not written[-1].pending_operations
    assert len(written[-1].resources) == 1
    manager.close()


def test_deletions_run_in_levels() -> None:
    states = [resource("a"), resource("b", "a"), resource("c", "a"), resource("d", "b", "c")]
    steps = [Step(Op.DELETE, old=state) for state in states]
    names = [{parse_urn(step.urn).name for step in level} for level in levels(steps)]
    assert names == [{"d"}, {"b", "c"}, {"a"}]
    assert levels([]) == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("2.5s", 2.5), ("300ms", 0.3)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "5m x", "-5m"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_bad_timeouts_are_told(workbench: Workbench) -> None:
    def program() -> None:
        limits = pulumi.CustomTimeouts(create="soon")
        aws.iam.User("user", opts=pulumi.ResourceOptions(custom_timeouts=limits))

    with pytest.raises(auto.CommandError, match="'soon' is not a duration"):
        workbench.stack(program).up()


def test_property_paths() -> None:
    assert path_keys('a.b[0]["c.d"].e') == ["a", "b", 0, "c.d", "e"]
    news = {"a": {"b": [1, 2], "c": 3}, "d": 4}
    olds = {"a": {"b": [9, 8], "c": 7}}
    assert with_old_values(news, olds, ["a.b[1]", "d"]) == {"a": {"b": [1, 8], "c": 3}}
    assert with_old_values(news, olds, ["*"]) == olds
    assert with_old_values(news, {}, ["a.c", "nothing.here", "a.b[5]"]) == {
        "a": {"b": [1, 2]},
        "d": 4,
    }


def test_secrets_are_wrapped_where_they_were() -> None:
    like = {"a": Secret(1), "b": {"c": Secret(2)}, "d": [Secret(3), 4]}
    values = plain(like)
    assert values == {"a": 1, "b": {"c": 2}, "d": [3, 4]}
    assert with_secrets_of(values, like) == like
    assert repr(Secret("hidden")) == "Secret()"


def test_configuration_paths() -> None:
    config: dict[str, object] = {}
    set_value(config, "p:a.list[0].x", "true", encrypt=None, path=True)
    set_value(config, "p:a.list[1]", "text", encrypt=None, path=True)
    assert config == {"p:a": {"list": [{"x": True}, "text"]}}
    assert get_value(config, "p:a.list[1]", path=True) == "text"
    with pytest.raises(KeyError):
        get_value(config, "p:a.list[7]", path=True)
    with pytest.raises(EngineError, match="does not fit"):
        set_value(config, "p:a.list.x", "1", encrypt=None, path=True)
    remove_value(config, "p:a.list[0].x", path=True)
    remove_value(config, "p:a.nothing[3]", path=True)
    assert config == {"p:a": {"list": [{}, "text"]}}


def test_arguments() -> None:
    parsed = parse(
        "config set",
        ["key", "--secret", "--stack=s", "--non-interactive", "--", "--value"],
        switches={"secret"},
        values={"stack"},
    )
    assert parsed.words == ("key", "--value")
    assert parsed.has("secret")
    assert parsed.value("stack") == "s"
    with pytest.raises(UnsupportedError, match=r"`pulumi up --target`"):
        parse("up", ["--target", "x"])
    with pytest.raises(EngineError, match="needs a value"):
        parse("up", ["--stack"], values={"stack"})
    with pytest.raises(EngineError, match="whole number"):
        parse("up", ["--parallel", "x"], values={"parallel"}).number("parallel", 1)


def test_stack_names() -> None:
    assert parse_stack_name("organization/p/s", None).full == "organization/p/s"
    assert parse_stack_name("organization/s", "p").full == "organization/p/s"
    with pytest.raises(EngineError, match=r"no Pulumi\.yaml project file found"):
        parse_stack_name("s", None)


def test_backend_urls_may_be_escaped(tmp_path: Path) -> None:
    assert open_backend("file:///a%20b").root == Path("/a b")
    assert open_backend(f"file://{tmp_path}").url == f"file://{tmp_path}"


def test_files_are_replaced_and_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"one", durable=True)
    copy = tmp_path / "c" / "copy"
    link_or_copy(path, copy)
    link_or_copy(path, copy)
    write_atomically(path, b"two", durable=True)
    assert (path.read_bytes(), copy.read_bytes()) == (b"two", b"one")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["file"]


def test_a_callback_that_raises_does_not_break_an_update(workbench: Workbench) -> None:
    def broken(line: str) -> None:
        raise ValueError(line)

    with pytest.warns(UserWarning, match="a callback of the caller failed"):
        result = workbench.stack(client_program).up(on_output=broken)
    assert result.summary.result == "succeeded"


def test_secret_provider_config_is_encrypted(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.set_config("aws:token", auto.ConfigValue("hidden-token", secret=True))
    stack.up()
    assert "hidden-token" not in workbench.checkpoint_path().read_text()
    assert "ciphertext" in workbench.resource("default_7_51_1")["inputs"]["token"]


def test_the_backend_may_be_named_in_the_project(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    project = {"name": PROJECT, "backend": {"url": f"file://{workbench.state}"}}
    (workbench.work / "Pulumi.yaml").write_text(json.dumps({**project, "runtime": "python"}))
    environment = {**workbench.environment(), "PULUMI_BACKEND_URL": ""}
    command = stack.workspace.pulumi_command
    listed = command.run(["stack", "ls", "--json"], str(workbench.work), environment).stdout
    assert [item["name"] for item in json.loads(listed)] == ["ABC-LLC"]


def test_a_project_file_that_is_being_written_is_read_again(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbench.workspace()
    path = workbench.work / "Pulumi.yaml"
    content = path.read_text()
    path.write_text("")
    pause = SimpleNamespace(sleep=lambda _: path.write_text(content))
    monkeypatch.setattr(project, "time", pause)
    command = EmbeddedCommand(provider=workbench.cloud.provider)
    listed = command.run(["stack", "ls"], str(workbench.work), workbench.environment())
    assert listed.code == 0
    monkeypatch.undo()
    path.write_text("{}")
    os.utime(path)
    with pytest.raises(auto.CommandError, match="names no project"):
        command.run(["stack", "ls"], str(workbench.work), workbench.environment())
