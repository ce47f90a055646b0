"""Up, update, replace, delete and destroy through the Automation API (issue: engine/)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import automation as auto

from tests.engine.conftest import PROJECT, Workbench, client_program


def user_program(**properties: Any) -> None:
    user = aws.iam.User("user", name="ada", **properties)
    pulumi.export("name", user.name)


def test_up_makes_resources_in_dependency_order(workbench: Workbench) -> None:
    result = workbench.stack(client_program).up()
    assert result.summary.result == "succeeded"
    assert result.summary.resource_changes == {"create": 6}
    created = workbench.cloud.acts("create")
    assert set(created) == {"ABC-LLC", "ABC-LLC_s3_access", "key-1", "membership", "placeholder"}
    assert created.index("ABC-LLC") < created.index("key-1")
    assert result.outputs["facts"].value == {"numbers": [1, 2.5], "nothing": None, "yes": True}
    assert result.outputs["secret"].secret
    assert result.outputs["secret"].value.startswith("plain-secret-key-1")
    assert not result.outputs["user"].secret


def test_second_up_changes_nothing(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    before = workbench.latest()["resources"]
    done = len(workbench.cloud.log)
    result = stack.up(expect_no_changes=True)
    assert result.summary.resource_changes == {"same": 6}
    assert len(workbench.cloud.log) == done
    after = workbench.latest()["resources"]
    assert {item["urn"]: item for item in after} == {item["urn"]: item for item in before}


def test_state_has_the_official_shape(workbench: Workbench) -> None:
    workbench.stack(client_program).up()
    latest = workbench.latest()
    assert latest["secrets_providers"]["type"] == "passphrase"
    assert latest["manifest"]["version"].startswith("v3.")
    provider = workbench.resource("default_7_51_1")
    assert provider["type"] == "pulumi:providers:aws"
    user = workbench.resource("user")
    assert user["urn"] == f"urn:pulumi:ABC-LLC::{PROJECT}::aws:iam/user:User::user"
    assert user["provider"] == f"{provider['urn']}::{provider['id']}"
    assert user["parent"].endswith(f"pulumi:pulumi:Stack::{PROJECT}-ABC-LLC")
    key = workbench.resource("key-1")
    assert key["dependencies"] == [user["urn"]]
    assert key["propertyDependencies"]["user"] == [user["urn"]]
    assert (workbench.state / ".pulumi/meta.yaml").read_text() == "version: 1\n"


def test_update_in_place(workbench: Workbench) -> None:
    workbench.stack(lambda: user_program(tags={"a": "1"})).up()
    created = workbench.resource("user")["created"]
    result = workbench.stack(lambda: user_program(tags={"a": "2"})).up()
    assert result.summary.resource_changes == {"same": 1, "update": 1}
    assert workbench.cloud.acts("update") == ["ada"]
    assert workbench.resource("user")["outputs"]["tags"] == {"a": "2"}
    assert workbench.resource("user")["created"] == created


def test_replacement_creates_before_it_deletes(workbench: Workbench) -> None:
    def program(bucket: str) -> None:
        made = aws.s3.BucketObjectv2("object", bucket=bucket, key="k", content="")
        pulumi.export("bucket", made.bucket)

    workbench.stack(lambda: program("one")).up()
    workbench.cloud.things.clear()
    workbench.cloud.log.clear()
    result = workbench.stack(lambda: program("two")).up()
    assert [act for act, _ in workbench.cloud.log] == ["create", "delete"]
    assert result.summary.resource_changes == {"same": 1, "replace": 1}
    assert workbench.resource("object")["inputs"]["bucket"] == "two"
    assert ("create-replacement", "object") in workbench.ops()
    assert ("delete-replaced", "object") in workbench.ops()


def test_delete_before_replace_takes_dependents_along(workbench: Workbench) -> None:
    def program(path: str) -> None:
        user = aws.iam.User(
            "user",
            name="ada",
            path=path,
            opts=pulumi.ResourceOptions(delete_before_replace=True),
        )
        aws.iam.UserPolicy("policy", user=user.arn, name="policy", policy="{}")
        aws.s3.BucketObjectv2("bystander", bucket="b", key="k", content="")

    workbench.stack(lambda: program("/a/")).up()
    workbench.cloud.log.clear()
    workbench.stack(lambda: program("/b/")).up()
    assert workbench.cloud.log == [
        ("delete", "policy"),
        ("delete", "ada"),
        ("create", "ada"),
        ("create", "policy"),
    ]
    assert len(workbench.latest()["resources"]) == 5
    assert not any(item.get("pendingReplacement") for item in workbench.latest()["resources"])


def test_what_the_program_drops_is_deleted(workbench: Workbench) -> None:
    workbench.stack(client_program).up()
    result = workbench.stack(lambda: user_program()).up()
    # "user" stays under the same logical name, with another physical name.
    assert result.summary.resource_changes is not None
    assert result.summary.resource_changes[auto.OpType.DELETE] == 4
    assert len(workbench.latest()["resources"]) == 3


def test_destroy_deletes_dependents_first_and_in_parallel(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    workbench.cloud.log.clear()
    workbench.cloud.delay = 0.02
    result = stack.destroy()
    assert result.summary.kind == "destroy"
    assert result.summary.resource_changes == {"delete": 6}
    deleted = workbench.cloud.acts("delete")
    assert deleted[-1] == "ABC-LLC"
    assert len(deleted) == 5
    assert workbench.cloud.most_busy > 1
    assert workbench.cloud.things == {}
    assert "resources" not in workbench.latest()
    assert stack.outputs() == {}


def test_independent_resources_are_made_in_parallel(workbench: Workbench) -> None:
    workbench.cloud.delay = 0.05

    def program() -> None:
        for number in range(8):
            aws.s3.BucketObjectv2(f"object-{number}", bucket="b", key=str(number), content="")

    stack = workbench.stack(program)
    stack.up()
    assert workbench.cloud.most_busy > 4
    workbench.cloud.most_busy = 0
    stack.destroy(parallel=1)
    assert workbench.cloud.most_busy == 1


def test_program_may_be_async(workbench: Workbench) -> None:
    async def program() -> None:
        await asyncio.sleep(0)
        aws.iam.User("user", name="ada")

    workbench.stack(program).up()
    assert workbench.cloud.acts("create") == ["ada"]


def test_up_may_be_called_inside_an_event_loop(workbench: Workbench) -> None:
    async def call() -> auto.UpResult:
        return workbench.stack(lambda: user_program()).up()

    assert asyncio.run(call()).summary.result == "succeeded"


def test_preview_changes_nothing_and_foretells_unknowns(workbench: Workbench) -> None:
    seen: list[object] = []

    def program() -> None:
        user = aws.iam.User("user", name="ada")
        user.arn.apply(seen.append)
        aws.iam.UserPolicy("policy", user=user.arn, name="policy", policy="{}")
        pulumi.export("arn", user.arn)

    stack = workbench.stack(program)
    before = workbench.checkpoint_path().read_bytes()
    result = stack.preview()
    assert result.change_summary == {"create": 3}
    assert workbench.cloud.log == []
    assert seen == []
    assert workbench.checkpoint_path().read_bytes() == before
    stack.up()
    assert len(seen) == 1
    assert stack.preview().change_summary == {"same": 3}


def test_preview_of_a_changed_program(workbench: Workbench) -> None:
    workbench.stack(client_program).up()
    stack = workbench.stack(lambda: user_program(tags={"a": "1"}))
    summary = stack.preview().change_summary
    assert summary[auto.OpType.DELETE] == 4
    assert workbench.cloud.acts("delete") == []
    with pytest.raises(
        auto.CommandError, match="no changes were expected but changes were proposed"
    ):
        stack.preview(expect_no_changes=True)


def test_preview_destroy(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    assert stack.preview_destroy().change_summary == {"delete": 6}
    assert workbench.cloud.acts("delete") == []


def test_grpc_path_equals_the_path_in_process(
    workbench: Workbench, tmp_path: Path, salt: str
) -> None:
    other = Workbench(tmp_path / "other").prepare(salt)
    direct = workbench.stack(client_program).up()
    remote = other.stack(client_program, inline=True).up()
    assert direct.summary.resource_changes == remote.summary.resource_changes
    assert {key: item.secret for key, item in direct.outputs.items()} == {
        key: item.secret for key, item in remote.outputs.items()
    }

    def shape(bench: Workbench) -> dict[str, object]:
        volatile = ("id", "provider", "created", "modified", "outputs")
        return {
            item["urn"]: {key: value for key, value in item.items() if key not in volatile}
            for item in bench.latest()["resources"]
        }

    assert shape(workbench) == shape(other)
    assert other.stack(client_program, inline=True).preview().change_summary == {"same": 6}
    assert other.stack(client_program, inline=True).destroy().summary.result == "succeeded"
