"""Point 2: the resource options, and the values that programs like ours use."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto
from types_boto3_iam import IAMClient

from tests.engine.conformance.conftest import Bench
from tests.engine.conformance.programs import nothing, two_users, user_program


def exists(iam: IAMClient, name: str) -> bool:
    try:
        iam.get_user(UserName=name)
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


def test_depends_on(bench: Bench) -> None:
    """`depends_on`"""

    def program() -> None:
        first = aws.iam.User("first", name=f"{bench.unique}-1")
        aws.iam.User("second", name=f"{bench.unique}-2", opts=ResourceOptions(depends_on=[first]))

    stack = bench.stack(program)
    stack.up()
    assert bench.recorded("second")["dependencies"] == [bench.recorded("first")["urn"]]
    stack.destroy()


class Area(pulumi.ComponentResource):
    """A component with one child."""

    def __init__(self, name: str, user: str, opts: ResourceOptions | None = None) -> None:
        super().__init__("conformance:index:Area", name, None, opts)
        child = aws.iam.User("child", name=user, opts=ResourceOptions(parent=self))
        self.name = child.name
        self.register_outputs({"user": child.name})


def test_components(bench: Bench) -> None:
    """`parent` and components with outputs"""

    def program() -> None:
        pulumi.export("name", Area("area", bench.unique).name)

    stack = bench.stack(program)
    assert stack.up().outputs["name"].value == bench.unique
    child = bench.recorded("child")
    assert child["urn"].split("::")[2] == "conformance:index:Area$aws:iam/user:User"
    assert child["parent"] == bench.recorded("area")["urn"]
    assert bench.recorded("area")["outputs"] == {"user": bench.unique}
    stack.destroy()


def test_explicit_providers(bench: Bench) -> None:
    """Explicit providers, also for the children of a component"""

    def program() -> None:
        provider = aws.Provider("provider", region="eu-west-3")
        Area("area", bench.unique, ResourceOptions(providers=[provider]))

    stack = bench.stack(program)
    stack.up()
    assert "::provider::" in bench.recorded("child")["provider"]
    assert bench.recorded("provider")["inputs"]["region"] == "eu-west-3"
    stack.destroy()


def test_protect(bench: Bench, iam: IAMClient) -> None:
    """`protect`: neither `destroy` nor `up` deletes it"""
    stack = bench.stack(user_program(bench.unique, protect=True))
    stack.up()
    for attempt in (stack.destroy, bench.stack(nothing).up):
        with pytest.raises(auto.CommandError, match="protected"):
            attempt()
    assert exists(iam, bench.unique)
    unprotected = bench.stack(user_program(bench.unique))
    unprotected.up()
    unprotected.destroy()


def test_delete_before_replace(bench: Bench, iam: IAMClient) -> None:
    """`delete_before_replace`, and what depends on it is made anew"""

    def program(name: str) -> None:
        first = ResourceOptions(delete_before_replace=True)
        user = aws.iam.User("user", name=bench.unique)
        aws.iam.UserPolicy("policy", user=user.name, name=name, policy=POLICY, opts=first)

    bench.stack(lambda: program("one")).up()
    stack = bench.stack(lambda: program("two"))
    ops: list[str] = []

    def note(event: auto.EngineEvent) -> None:
        found = event.res_outputs_event
        if found and found.metadata.urn.endswith("::policy"):
            ops.append(found.metadata.op.value)

    stack.up(on_event=note)
    assert ops == ["delete-replaced", "replace", "create-replacement"]
    assert iam.list_user_policies(UserName=bench.unique)["PolicyNames"] == ["two"]
    stack.destroy()


POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'


def test_create_before_delete(bench: Bench, iam: IAMClient) -> None:
    """Replacement makes the new one first"""

    def program(name: str) -> None:
        user = aws.iam.User("user", name=bench.unique)
        aws.iam.UserPolicy("policy", user=user.name, name=name, policy=POLICY)

    bench.stack(lambda: program("one")).up()
    stack = bench.stack(lambda: program("two"))
    result = stack.up()
    assert result.summary.resource_changes == {"same": 2, "replace": 1}
    assert iam.list_user_policies(UserName=bench.unique)["PolicyNames"] == ["two"]
    stack.destroy()


def test_ignore_changes(bench: Bench, iam: IAMClient) -> None:
    """`ignore_changes`"""

    def program(value: str) -> None:
        opts = ResourceOptions(ignore_changes=["tags"])
        aws.iam.User("user", name=bench.unique, tags={"a": value}, opts=opts)

    bench.stack(lambda: program("1")).up()
    stack = bench.stack(lambda: program("2"))
    assert stack.up().summary.resource_changes == {"same": 2}
    assert iam.list_user_tags(UserName=bench.unique)["Tags"] == [{"Key": "a", "Value": "1"}]
    stack.destroy()


def test_retain_on_delete(bench: Bench, iam: IAMClient) -> None:
    """`retain_on_delete`"""

    def program() -> None:
        aws.iam.User("user", name=bench.unique, opts=ResourceOptions(retain_on_delete=True))

    stack = bench.stack(program)
    stack.up()
    stack.destroy()
    assert bench.names() == []
    assert exists(iam, bench.unique)


def test_additional_secret_outputs(bench: Bench) -> None:
    """`additional_secret_outputs`"""

    def program() -> None:
        opts = ResourceOptions(additional_secret_outputs=["arn"])
        user = aws.iam.User("user", name=bench.unique, opts=opts)
        pulumi.export("arn", user.arn)

    stack = bench.stack(program)
    result = stack.up()
    assert result.outputs["arn"].secret
    assert "ciphertext" in bench.recorded("user")["outputs"]["arn"]
    stack.destroy()


def test_aliases(bench: Bench) -> None:
    """`aliases`: a renamed or moved resource is not replaced"""

    def renamed() -> None:
        aws.iam.User(
            "new-name", name=bench.unique, opts=ResourceOptions(aliases=[pulumi.Alias(name="user")])
        )

    bench.stack(user_program(bench.unique)).up()
    result = bench.stack(renamed).up()
    assert result.summary.resource_changes == {"same": 2}
    assert bench.names() == ["new-name"]
    bench.stack(renamed).destroy()


def importing(name: str, path: str) -> None:
    opts = ResourceOptions(import_=name)
    aws.iam.User("user", name=name, path=path, opts=opts)


def test_import(bench: Bench, iam: IAMClient) -> None:
    """`import_` adopts what agrees with the program"""
    iam.create_user(UserName=bench.unique)
    stack = bench.stack(lambda: importing(bench.unique, "/"))
    assert stack.up().summary.resource_changes == {"create": 1, "import": 1}
    assert stack.preview().change_summary == {auto.OpType.SAME: 2}
    stack.destroy()
    assert not exists(iam, bench.unique)


def test_import_refused(bench: Bench, iam: IAMClient) -> None:
    """`import_` refuses what does not agree, and leaves it as it is"""
    iam.create_user(UserName=bench.unique, Path="/there/")
    with pytest.raises(auto.CommandError):
        bench.stack(lambda: importing(bench.unique, "/other/")).up()
    assert iam.get_user(UserName=bench.unique)["User"]["Path"] == "/there/"


def test_secrets_at_any_depth(bench: Bench) -> None:
    """`Output.secret` through any depth: inputs, outputs and exports"""

    def program() -> None:
        hidden = pulumi.Output.secret("hidden-value")
        user = aws.iam.User("user", name=bench.unique, tags={"open": "1", "hidden": hidden})
        pulumi.export("nested", {"list": [hidden, {"deeper": hidden}]})
        pulumi.export("joined", pulumi.Output.concat("x-", hidden))
        pulumi.export("tags", user.tags)

    stack = bench.stack(program)
    outputs = stack.up().outputs
    assert outputs["nested"].value == {"list": ["hidden-value", {"deeper": "hidden-value"}]}
    # The Automation API marks an output as secret only where the secret is not inside it.
    assert {name for name in outputs if outputs[name].secret} == {"joined", "tags"}
    written = [path for path in bench.state.rglob("*") if path.is_file()]
    assert not any(b"hidden-value" in path.read_bytes() for path in written)
    stack.destroy()


def test_unknowns(bench: Bench) -> None:
    """Unknowns in a preview: `apply` waits, dependents still plan"""
    seen: list[str] = []

    def program() -> None:
        user = aws.iam.User("user", name=bench.unique)
        user.unique_id.apply(seen.append)
        aws.iam.UserPolicy("policy", user=user.unique_id, name="n", policy=POLICY)

    result = bench.stack(program).preview()
    assert seen == []
    assert result.change_summary == {auto.OpType.CREATE: 3}


def test_get(bench: Bench, iam: IAMClient) -> None:
    """`Resource.get`: looked up, never managed"""
    iam.create_user(UserName=bench.unique, Path="/found/")

    def program() -> None:
        pulumi.export("path", aws.iam.User.get("user", bench.unique).path)

    stack = bench.stack(program)
    assert stack.up().outputs["path"].value == "/found/"
    stack.destroy()
    assert exists(iam, bench.unique)


def test_references(bench: Bench) -> None:
    """Resource references as values"""

    def program() -> None:
        pulumi.export("user", aws.iam.User("user", name=bench.unique))

    stack = bench.stack(program)
    assert stack.up().summary.result == "succeeded"
    root = next(it for it in bench.latest()["resources"] if it["type"] == "pulumi:pulumi:Stack")
    assert root["outputs"]["user"]["urn"] == bench.recorded("user")["urn"]
    stack.destroy()


def test_invoke(bench: Bench) -> None:
    """`invoke`: `get_caller_identity` and `get_region`"""

    def program() -> None:
        pulumi.export("account", aws.get_caller_identity_output().account_id)
        pulumi.export("region", aws.get_region().region)

    outputs = bench.stack(program).up().outputs
    assert outputs["account"].value.isdigit()
    assert outputs["region"].value == "eu-west-1"


def test_check_failures(bench: Bench) -> None:
    """Inputs that cannot be used are named by property"""
    with pytest.raises(auto.CommandError, match=r"letters A to Z"):
        bench.stack(user_program("not a name")).up()


def test_duplicates(bench: Bench) -> None:
    """Two resources of one name are refused"""

    def program() -> None:
        two_users(bench.unique)()
        aws.iam.User("first", name=f"{bench.unique}-3")

    with pytest.raises(auto.CommandError, match="Duplicate resource URN"):
        bench.stack(program).up()
