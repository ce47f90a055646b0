"""What the embedded engine leaves to the official program: refused by name, never half done."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto

from tests.engine.conformance.conftest import OFFICIAL, Bench

ONLY_EMBEDDED = pytest.mark.parametrize("engine", ["embedded"])
ONLY_OFFICIAL = pytest.mark.parametrize("engine", [OFFICIAL])
VERBS = {
    "stack rename": ("stack", "rename", "x"),
    "stack tag": ("stack", "tag", "ls"),
    "import": ("import",),
    "watch": ("watch",),
    "install": ("install",),
    "state delete": ("state", "delete", "x"),
    "stack graph": ("stack", "graph", "x"),
    "stack change-secrets-provider": ("stack", "change-secrets-provider", "x"),
    "config cp": ("config", "cp"),
    "up --target": ("up", "--stack", "dev", "--target", "x"),
    "up --exclude": ("up", "--stack", "dev", "--exclude", "x"),
    "up --replace": ("up", "--stack", "dev", "--replace", "x"),
    "up --continue-on-error": ("up", "--stack", "dev", "--continue-on-error"),
    "up --run-program": ("up", "--stack", "dev", "--run-program=false"),
    "destroy --target": ("destroy", "--stack", "dev", "--target", "x"),
    "up --plan": ("up", "--stack", "dev", "--plan", "x"),
    "up --policy-pack": ("up", "--stack", "dev", "--policy-pack", "x"),
    "preview --json": ("preview", "--stack", "dev", "--json"),
    "refresh --import-pending-creates": (
        "refresh",
        "--stack",
        "dev",
        "--import-pending-creates",
        "x",
    ),
}


def _deleted_with() -> None:
    first = aws.iam.User("first", name="first")
    aws.iam.User("second", name="second", opts=ResourceOptions(deleted_with=first))


def _replace_on_changes() -> None:
    aws.iam.User("user", name="user", opts=ResourceOptions(replace_on_changes=["tags"]))


def _hide_diffs() -> None:
    aws.iam.User("user", name="user", opts=ResourceOptions(hide_diffs=["tags"]))


def _asset() -> None:
    source = pulumi.StringAsset("text")
    aws.s3.BucketObjectv2("object", bucket="bucket", key="k", source=source)


def _other_package() -> None:
    pulumi.CustomResource("random:index/randomId:RandomId", "id", {})


def _transforms() -> None:
    def transform(
        args: pulumi.ResourceTransformArgs,
    ) -> pulumi.ResourceTransformResult:
        return pulumi.ResourceTransformResult(props=args.props, opts=args.opts)

    aws.iam.User("user", name="user", opts=ResourceOptions(transforms=[transform]))


def _hooks() -> None:
    hook = pulumi.ResourceHook("hook", lambda _: None)
    binding = pulumi.ResourceHookBinding(before_create=[hook])
    aws.iam.User("user", name="user", opts=ResourceOptions(hooks=binding))


def _replace_with() -> None:
    first = aws.iam.User("leader", name="leader")
    aws.iam.User("follower", name="follower", opts=ResourceOptions(replace_with=[first]))


def _replacement_trigger() -> None:
    aws.iam.User("user", name="user", opts=ResourceOptions(replacement_trigger="1"))


def _env_var_mappings() -> None:
    mapped = ResourceOptions(env_var_mappings={"HANDOVER_PROBE": "AWS_PROBE"})
    provider = aws.Provider("provider", region="eu-west-1", opts=mapped)
    aws.iam.User("user", name="user", opts=ResourceOptions(provider=provider))


def _plugin_download_url() -> None:
    url = ResourceOptions(plugin_download_url="https://plugins.invalid")
    aws.iam.User("user", name="user", opts=url)


PROGRAMS: dict[str, tuple[str, Callable[[], None]]] = {
    "deleted_with": ("deleted_with", _deleted_with),
    "replace_on_changes": ("replace_on_changes", _replace_on_changes),
    "hide_diffs": ("hide_diffs", _hide_diffs),
    "replace_with": ("replace_with", _replace_with),
    "replacement_trigger": ("replacement_trigger", _replacement_trigger),
    "transforms": ("transforms", _transforms),
    "hooks": ("hook", _hooks),
    "env_var_mappings": ("env_var_mappings", _env_var_mappings),
    "plugin_download_url": ("plugin_download_url", _plugin_download_url),
    "assets and archives": ("an asset", _asset),
    "packages other than aws": ("package 'random'", _other_package),
}

BEYOND = {
    "assets and archives": "source",
    "packages other than aws": "pulumi-resource-random",
}
"""How far the official program gets with our plugin alone."""


@ONLY_EMBEDDED
@pytest.mark.parametrize("args", VERBS.values(), ids=VERBS)
def test_verbs(bench: Bench, args: tuple[str, ...]) -> None:
    bench.stack()
    answer = bench.command().run
    with pytest.raises(auto.CommandError, match="official `pulumi` program") as caught:
        answer(list(args), str(bench.work), bench.environment())
    assert args[0] in str(caught.value)


@ONLY_EMBEDDED
@pytest.mark.parametrize(("named", "program"), PROGRAMS.values(), ids=PROGRAMS)
def test_programs(bench: Bench, named: str, program: Callable[[], None]) -> None:
    with pytest.raises(auto.CommandError, match=named) as caught:
        bench.stack(program).up()
    assert "official `pulumi` program" in str(caught.value)
    bench.stack().destroy()


@ONLY_OFFICIAL
@pytest.mark.parametrize("args", VERBS.values(), ids=VERBS)
def test_the_official_program_knows(bench: Bench, args: tuple[str, ...]) -> None:
    """What our refusal says is true: it is a verb and a flag of the official program."""
    answer = bench.command().run([*args, "--help"], str(bench.work), bench.environment())
    usage, _, rest = answer.stdout.partition("Usage:")[2].strip().partition("\n")
    words = [word for word in args[:2] if not word.startswith("-")]
    aliases = rest.partition("Aliases:")[2].strip().partition("\n")[0].split(", ")
    *before, last = ["pulumi", *words]
    assert usage.split()[: len(before)] == before
    assert last in [usage.split()[len(before)], *aliases]


@ONLY_OFFICIAL
@pytest.mark.parametrize("program", [program for _, program in PROGRAMS.values()], ids=PROGRAMS)
def test_the_official_program_takes(
    bench: Bench, program: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    """What our refusal says is true: the official program does not refuse the option.

    Assets and packages other than aws need other plugins than ours, which is where it gets to.
    """
    stack = bench.stack(program)
    name = request.node.callspec.id.removeprefix("official-").removesuffix("-official")
    if name in BEYOND:
        with pytest.raises(auto.CommandError, match=BEYOND[name]):
            stack.up()
        return
    assert stack.up().summary.result == "succeeded"
    stack.destroy()
