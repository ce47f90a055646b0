"""Refreshing: drift is seen, and recorded only when asked."""

from __future__ import annotations

import pulumi_aws as aws
import pytest
from pulumi import automation as auto

from engine.provider import ProviderError
from tests.engine.conftest import Workbench, client_program


def changes(workbench: Workbench) -> dict[str, str]:
    return {name: op for op, name in workbench.ops()}


def test_refresh_without_drift(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    before = workbench.latest()["resources"]
    result = stack.refresh(expect_no_changes=True)
    assert result.summary.kind == "refresh"
    assert result.summary.resource_changes == {"same": 6}
    assert workbench.latest()["resources"] == before


def test_refresh_adopts_a_change(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    workbench.cloud.things["aws:iam/user:User", "ABC-LLC"]["tags"] = {"by": "hand"}
    workbench.events.clear()
    assert stack.refresh().summary.resource_changes == {"same": 5, "update": 1}
    assert changes(workbench)["user"] == "update"
    assert workbench.resource("user")["inputs"]["tags"] == {"by": "hand"}
    assert stack.up().summary.resource_changes == {"same": 5, "update": 1}


def test_refresh_forgets_what_is_gone(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    del workbench.cloud.things["aws:iam/user:User", "ABC-LLC"]
    assert stack.refresh().summary.resource_changes == {"same": 5, "delete": 1}
    assert all("::user" not in item["urn"] for item in workbench.latest()["resources"])
    assert "dependencies" not in workbench.resource("key-1")
    assert stack.up().summary.resource_changes == {"same": 5, "create": 1}


def test_preview_refresh_tells_and_changes_nothing(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    before = workbench.checkpoint_path().read_bytes()
    workbench.cloud.things["aws:iam/user:User", "ABC-LLC"]["tags"] = {"by": "hand"}
    del workbench.cloud.things["aws:iam/accessKey:AccessKey", "key-1"]
    workbench.events.clear()
    seen: list[auto.EngineEvent] = []
    result = stack.preview_refresh(on_event=seen.append)
    assert result.change_summary == {"same": 4, "update": 1, "delete": 1}
    assert workbench.checkpoint_path().read_bytes() == before
    drifted = [
        event.res_outputs_event.metadata
        for event in seen
        if event.res_outputs_event and event.res_outputs_event.metadata.op == "update"
    ]
    assert [item.diffs for item in drifted] == [["tags"]]
    assert drifted[0].new is not None
    assert drifted[0].new.outputs is not None
    assert drifted[0].new.outputs["tags"] == {"by": "hand"}


def test_refresh_that_cannot_read(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    before = workbench.latest()["resources"]
    workbench.cloud.refuse["read", "ABC-LLC"] = ProviderError("AccessDenied", "no")
    with pytest.raises(auto.CommandError, match=r"reading aws:iam/user:User 'user'.*AccessDenied"):
        stack.refresh()
    assert workbench.latest()["resources"] == before


def test_up_with_refresh(workbench: Workbench) -> None:
    def program() -> None:
        aws.iam.User("user", name="ada", tags={"a": "1"})

    stack = workbench.stack(program)
    stack.up()
    workbench.cloud.things.clear()
    assert stack.up(refresh=True).summary.resource_changes is not None
    assert ("aws:iam/user:User", "ada") in workbench.cloud.things


def test_destroy_with_refresh(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    workbench.cloud.things.clear()
    stack.destroy(refresh=True)
    assert workbench.cloud.acts("delete") == []
    assert "resources" not in workbench.latest()
