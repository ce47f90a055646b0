"""Point 4: a stack opened by one engine goes on under the other, on the same file backend."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto

from tests.engine.conformance.conftest import Bench, Engine
from tests.engine.conformance.programs import client_program

pytestmark = pytest.mark.official
OTHER: dict[Engine, Engine] = {"embedded": "official", "official": "embedded"}


def test_one_opens_the_other_goes_on(bench: Bench, engine: Engine) -> None:
    """A stack that this engine opened is previewed, updated and destroyed by the other"""
    secret = bench.stack(client_program(bench.unique)).up().outputs["secret"].value
    other = bench.using(OTHER[engine])
    stack = other.stack(client_program(bench.unique))
    assert stack.preview(expect_no_changes=True).change_summary == {auto.OpType.SAME: 4}
    assert stack.outputs()["secret"].value == secret
    assert stack.refresh().summary.resource_changes == {"same": 4}
    assert stack.preview().change_summary == {auto.OpType.SAME: 4}
    changed = other.stack(client_program(bench.unique, tag="2")).up()
    assert changed.summary.resource_changes == {"same": 3, "update": 1}
    assert changed.outputs["secret"].value == secret
    assert stack.destroy().summary.resource_changes == {"delete": 4}
    assert other.names() == []


def test_back_and_forth(bench: Bench, engine: Engine) -> None:
    """There and back: options, secrets, components and configuration survive"""

    def program() -> None:
        hidden = pulumi.Config().require_secret("hidden")
        first = aws.iam.User("first", name=f"{bench.unique}-1", tags={"hidden": hidden})
        opts = ResourceOptions(
            depends_on=[first], retain_on_delete=False, additional_secret_outputs=["arn"]
        )
        aws.iam.User("second", name=f"{bench.unique}-2", opts=opts)
        pulumi.export("nested", {"deep": [hidden]})

    one, two = bench, bench.using(OTHER[engine])
    stack = one.stack(program)
    stack.set_config("hidden", auto.ConfigValue("hidden-config", secret=True))
    stack.up()
    for side in (two, one, two):
        again = side.stack(program)
        assert again.preview(expect_no_changes=True).change_summary == {auto.OpType.SAME: 3}
        result = again.up()
        assert result.outputs["nested"].value == {"deep": ["hidden-config"]}
        assert len(again.history()) > 1
    written = [path for path in bench.directory.rglob("*") if path.is_file()]
    assert not any(b"hidden-config" in path.read_bytes() for path in written)
    one.stack(program).destroy(remove=True)


def test_no_new_salt(bench: Bench, engine: Engine) -> None:
    """Taking over writes no new salt"""
    bench.stack(client_program(bench.unique)).up()
    salt = bench.latest()["secrets_providers"]["state"]["salt"]
    stack = bench.using(OTHER[engine]).stack(client_program(bench.unique))
    stack.up()
    assert bench.latest()["secrets_providers"]["state"]["salt"] == salt
    stack.destroy()
