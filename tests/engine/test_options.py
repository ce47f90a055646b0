"""Resource options: each does what Pulumi's documentation says, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto

from tests.engine.conftest import PROJECT, Workbench


def user(logical: str = "user", /, opts: ResourceOptions | None = None, **properties: Any) -> None:
    properties.setdefault("name", "ada")
    aws.iam.User(logical, opts=opts, **properties)


def test_protect_refuses_deletion_and_replacement(workbench: Workbench) -> None:
    protected = ResourceOptions(protect=True)
    workbench.stack(lambda: user(opts=protected)).up()
    assert workbench.resource("user")["protect"] is True
    with pytest.raises(auto.CommandError, match="cannot be deleted because it is protected"):
        workbench.stack().destroy()
    with pytest.raises(auto.CommandError, match="cannot be deleted because it is protected"):
        workbench.stack(lambda: None).up()
    with pytest.raises(auto.CommandError, match=r"unable to replace resource .*protection"):
        workbench.stack(lambda: user(opts=protected, path="/new/")).up()
    assert workbench.cloud.acts("delete") == []
    workbench.stack(user).up()
    assert "protect" not in workbench.resource("user")
    workbench.stack().destroy()
    assert workbench.cloud.acts("delete") == ["ada"]


def test_a_protected_resource_keeps_the_others_from_being_deleted(workbench: Workbench) -> None:
    def program() -> None:
        user("free", name="free")
        user("kept", name="kept", opts=ResourceOptions(protect=True))

    stack = workbench.stack(program)
    stack.up()
    with pytest.raises(auto.CommandError):
        stack.destroy()
    assert workbench.cloud.acts("delete") == []
    stack.destroy(exclude_protected=True)
    assert workbench.cloud.acts("delete") == ["free"]
    left = {item["urn"].rsplit("::", 1)[-1] for item in workbench.latest()["resources"]}
    assert left == {f"{PROJECT}-ABC-LLC", "default_7_51_1", "kept"}


def test_children_inherit_protect(workbench: Workbench) -> None:
    class Area(pulumi.ComponentResource):
        def __init__(self) -> None:
            super().__init__("handover:area:Area", "area", None, ResourceOptions(protect=True))
            aws.iam.User("child", name="ada", opts=ResourceOptions(parent=self))
            self.register_outputs({"user": "ada"})

    workbench.stack(Area).up()
    assert workbench.resource("child")["protect"] is True
    area = workbench.resource("area")
    assert area["custom"] is False
    assert area["outputs"] == {"user": "ada"}
    assert workbench.resource("child")["parent"] == area["urn"]
    assert "handover:area:Area$aws:iam/user:User" in workbench.resource("child")["urn"]


def test_retain_on_delete_forgets_and_leaves(workbench: Workbench) -> None:
    stack = workbench.stack(lambda: user(opts=ResourceOptions(retain_on_delete=True)))
    stack.up()
    stack.destroy()
    assert workbench.cloud.acts("delete") == []
    assert list(workbench.cloud.things) == [("aws:iam/user:User", "ada")]


def test_ignore_changes(workbench: Workbench) -> None:
    workbench.stack(lambda: user(tags={"a": "1"})).up()
    ignoring = ResourceOptions(ignore_changes=["tags"])
    result = workbench.stack(lambda: user(tags={"a": "2"}, opts=ignoring)).up()
    assert result.summary.resource_changes == {"same": 2}
    nested = ResourceOptions(ignore_changes=["tags.a"])
    workbench.stack(lambda: user(tags={"a": "3", "b": "4"}, opts=nested)).up()
    assert workbench.resource("user")["inputs"]["tags"] == {"a": "1", "b": "4"}


def test_depends_on(workbench: Workbench) -> None:
    def program() -> None:
        first = aws.iam.User("first", name="first")
        user("second", name="second", opts=ResourceOptions(depends_on=[first]))

    stack = workbench.stack(program)
    stack.up()
    assert workbench.cloud.acts("create") == ["first", "second"]
    assert workbench.resource("second")["dependencies"] == [workbench.resource("first")["urn"]]
    stack.destroy()
    assert workbench.cloud.acts("delete") == ["second", "first"]


def test_alias_renames_without_replacing(workbench: Workbench) -> None:
    def named(name: str, opts: ResourceOptions | None = None) -> Callable[[], None]:
        def program() -> None:
            owner = aws.iam.User(name, name="ada", opts=opts)
            aws.iam.UserPolicy("policy", user=owner.name, name="policy", policy="{}")

        return program

    workbench.stack(named("old")).up()
    workbench.cloud.log.clear()
    renamed = named("new", ResourceOptions(aliases=[pulumi.Alias(name="old")]))
    result = workbench.stack(renamed).up()
    assert result.summary.resource_changes == {"same": 3}
    assert workbench.cloud.log == []
    urns = [item["urn"] for item in workbench.latest()["resources"]]
    assert not any(urn.endswith("::old") for urn in urns)
    assert workbench.resource("policy")["dependencies"] == [workbench.resource("new")["urn"]]


def test_alias_of_a_parent_reaches_its_children(workbench: Workbench) -> None:
    class Area(pulumi.ComponentResource):
        def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
            super().__init__("handover:area:Area" + name.upper(), name, None, opts)
            aws.iam.User("child", name="ada", opts=ResourceOptions(parent=self))

    workbench.stack(lambda: Area("a")).up()
    aliases = [pulumi.Alias(name="a", type_="handover:area:AreaA")]
    result = workbench.stack(lambda: Area("b", ResourceOptions(aliases=list(aliases)))).up()
    assert result.summary.resource_changes == {"same": 3}
    assert workbench.cloud.acts("delete") == []


def test_import_adopts_what_matches(workbench: Workbench) -> None:
    things = workbench.cloud.things
    things["aws:iam/user:User", "ada"] = {"name": "ada", "path": "/", "arn": "arn:ada"}
    adopting = ResourceOptions(import_="ada")
    assert workbench.stack(lambda: user(opts=adopting)).preview().change_summary == {
        "create": 1,
        "import": 1,
    }
    result = workbench.stack(lambda: user(opts=adopting)).up()
    assert result.summary.resource_changes == {"create": 1, "import": 1}
    assert workbench.resource("user")["id"] == "ada"
    assert workbench.resource("user")["importID"] == "ada"
    assert workbench.cloud.acts("create") == []
    again = workbench.stack(lambda: user(opts=adopting)).up()
    assert again.summary.resource_changes == {"same": 2}
    assert workbench.stack(user).up().summary.resource_changes == {"same": 2}


def test_import_refuses_what_differs_or_is_missing(workbench: Workbench) -> None:
    things = workbench.cloud.things
    things["aws:iam/user:User", "ada"] = {"name": "ada", "path": "/team/", "arn": "arn:ada"}
    adopting = ResourceOptions(import_="ada")
    with pytest.raises(auto.CommandError, match=r"do not match the existing resource 'ada': path"):
        workbench.stack(lambda: user(opts=adopting)).up()
    assert "user" not in str(workbench.latest().get("pending_operations"))
    missing = ResourceOptions(import_="bob")
    with pytest.raises(auto.CommandError, match="resource 'bob' does not exist"):
        workbench.stack(lambda: user(opts=missing)).up()


def test_additional_secret_outputs(workbench: Workbench) -> None:
    hiding = ResourceOptions(additional_secret_outputs=["arn"])
    workbench.stack(lambda: user(opts=hiding)).up()
    assert "ciphertext" in workbench.resource("user")["outputs"]["arn"]
    assert workbench.resource("user")["additionalSecretOutputs"] == ["arn"]


def test_explicit_provider_and_its_region(workbench: Workbench) -> None:
    def program(region: str) -> None:
        provider = aws.Provider("here", region=region)
        user(opts=ResourceOptions(provider=provider))

    workbench.stack(lambda: program("eu-west-1")).up()
    provider = workbench.resource("here")
    assert workbench.resource("user")["provider"] == f"{provider['urn']}::{provider['id']}"
    assert workbench.stack(lambda: program("eu-west-1")).up().summary.resource_changes == {
        "same": 3
    }
    result = workbench.stack(lambda: program("eu-west-3")).preview()
    assert result.change_summary == {"replace": 2, "same": 1}


def test_a_component_passes_its_provider_on(workbench: Workbench) -> None:
    class Area(pulumi.ComponentResource):
        def __init__(self, opts: ResourceOptions) -> None:
            super().__init__("handover:area:Area", "area", None, opts)
            aws.iam.User("child", name="ada", opts=ResourceOptions(parent=self))

    def program() -> None:
        provider = aws.Provider("here", region="eu-west-1")
        Area(ResourceOptions(providers=[provider]))

    workbench.stack(program).up()
    assert "::here::" in workbench.resource("child")["provider"]


def test_custom_timeouts_are_recorded(workbench: Workbench) -> None:
    limits = pulumi.CustomTimeouts(create="1m30s", delete="5m")
    workbench.stack(lambda: user(opts=ResourceOptions(custom_timeouts=limits))).up()
    assert workbench.resource("user")["customTimeouts"] == {"create": 90, "delete": 300}


def test_lookup_of_a_resource_that_something_else_manages(workbench: Workbench) -> None:
    things = workbench.cloud.things
    things["aws:iam/user:User", "root"] = {"name": "root", "path": "/", "arn": "arn:root"}

    def program() -> None:
        found = aws.iam.User.get("found", "root")
        pulumi.export("arn", found.arn)

    stack = workbench.stack(program)
    assert stack.up().outputs["arn"].value == "arn:root"
    assert workbench.resource("found")["external"] is True
    stack.destroy()
    assert workbench.cloud.acts("delete") == []


def test_invoke(workbench: Workbench) -> None:
    def program() -> None:
        pulumi.export("region", aws.get_region().region)

    assert workbench.stack(program).up().outputs["region"].value == "eu-west-1"


def test_a_failing_invoke_reaches_the_program(workbench: Workbench) -> None:
    with pytest.raises(auto.InlineSourceRuntimeError, match=r"getCallerIdentity.*Unsupported"):
        workbench.stack(lambda: aws.get_caller_identity() and None).up()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (ResourceOptions(replace_on_changes=["name"]), "replace_on_changes"),
        (ResourceOptions(hide_diffs=["name"]), "hide_diffs"),
        (ResourceOptions(plugin_download_url="https://example.org"), "plugin_download_url"),
    ],
)
def test_other_options_are_refused_by_name(
    workbench: Workbench, options: ResourceOptions, name: str
) -> None:
    with pytest.raises(auto.CommandError, match=f"{name} is not supported by the embedded engine"):
        workbench.stack(lambda: user(opts=options)).up()
    assert workbench.cloud.log == []


def test_deleted_with_is_refused_by_name(workbench: Workbench) -> None:
    def program() -> None:
        first = aws.iam.User("first", name="first")
        user("second", name="second", opts=ResourceOptions(deleted_with=first))

    with pytest.raises(auto.CommandError, match="deleted_with is not supported"):
        workbench.stack(program).up()


def test_assets_are_refused_by_name(workbench: Workbench) -> None:
    def program() -> None:
        source = pulumi.StringAsset("text")
        aws.s3.BucketObjectv2("object", bucket="b", key="k", source=source)

    with pytest.raises(auto.CommandError, match=r"BucketObjectv2 'object': .*an asset"):
        workbench.stack(program).up()


def test_resources_as_values(workbench: Workbench) -> None:
    def program() -> None:
        owner = aws.iam.User("user", name="ada")
        pulumi.export("owner", owner.urn)
        pulumi.export("whole", {"nested": [owner.arn]})

    outputs = workbench.stack(program).up().outputs
    assert outputs["owner"].value == workbench.resource("user")["urn"]
    assert outputs["whole"].value == {"nested": ["arn:aws:iam::000000000000:user/ada"]}


def test_duplicate_names_are_refused(workbench: Workbench) -> None:
    def program() -> None:
        user()
        user()

    with pytest.raises(auto.CommandError, match=r"Duplicate resource URN .*unique name"):
        workbench.stack(program).up()


def test_check_failures_name_the_property_and_not_the_value(workbench: Workbench) -> None:
    with pytest.raises(auto.CommandError, match="property name: this name is not allowed"):
        workbench.stack(lambda: user(name="forbidden")).up()


def test_a_package_that_is_not_served(workbench: Workbench) -> None:
    def program() -> None:
        pulumi.CustomResource("random:index/randomId:RandomId", "id", {})

    with pytest.raises(auto.CommandError, match=r"package 'random' .* is not supported"):
        workbench.stack(program).up()
