"""``--run-program`` on refresh and destroy: providers take their present settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto

from tests.engine.conftest import Workbench
from tests.engine.memory_provider import MemoryProvider


def program(profile: str, *, more: bool = False) -> None:
    provider = aws.Provider("provider", region="eu-west-1", profile=profile)
    aws.iam.User("user", name="ada", opts=ResourceOptions(provider=provider))
    if more:
        aws.iam.User("more", name="grace", opts=ResourceOptions(provider=provider))


@pytest.fixture
def profiles(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The profiles of the providers that were made, in order."""
    made: list[str] = []
    make = workbench.cloud.provider

    def noting(environment: Mapping[str, str], inputs: Mapping[str, Any]) -> MemoryProvider:
        made.append(str(inputs.get("profile")))
        return make(environment, inputs)

    monkeypatch.setattr(workbench.cloud, "provider", noting)
    return made


def test_without_the_program_the_recorded_settings_count(
    workbench: Workbench, profiles: list[str]
) -> None:
    workbench.stack(lambda: program("old")).up()
    workbench.stack(lambda: program("new")).refresh()
    assert set(profiles) == {"old"}


def test_with_the_program_its_settings_count(workbench: Workbench, profiles: list[str]) -> None:
    workbench.stack(lambda: program("old")).up()
    profiles.clear()
    workbench.events.clear()
    stack = workbench.stack(lambda: program("new", more=True))
    stack.refresh(run_program=True)
    assert profiles == ["new"]
    assert workbench.resource("provider")["inputs"]["profile"] == "new"
    assert {op for op, _ in workbench.ops()} == {"same"}
    assert workbench.cloud.acts("create") == ["ada"]
    stack.destroy(run_program=True)
    assert set(profiles) == {"new"}
    assert workbench.cloud.things == {}


def test_a_program_that_raises_keeps_everything(workbench: Workbench) -> None:
    workbench.stack(lambda: program("old")).up()

    def broken() -> None:
        raise RuntimeError("the program broke")

    with pytest.raises(auto.InlineSourceRuntimeError, match="the program broke"):
        workbench.stack(broken).destroy(run_program=True)
    assert workbench.cloud.acts("delete") == []
    assert workbench.resource("user")["id"] == "ada"
