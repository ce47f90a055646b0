"""What the embedded engine leaves to the official program: refused by name, never half done."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto

from tests.engine.conformance.conftest import Bench

ONLY_EMBEDDED = pytest.mark.parametrize("engine", ["embedded"])
VERBS = {
    "stack rename": ("stack", "rename", "x"),
    "stack tag": ("stack", "tag", "ls"),
    "import": ("import",),
    "watch": ("watch",),
    "install": ("install",),
    "up --target": ("up", "--stack", "dev", "--target", "x"),
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


PROGRAMS: dict[str, tuple[str, Callable[[], None]]] = {
    "deleted_with": ("deleted_with", _deleted_with),
    "replace_on_changes": ("replace_on_changes", _replace_on_changes),
    "hide_diffs": ("hide_diffs", _hide_diffs),
    "assets and archives": ("an asset", _asset),
    "packages other than aws": ("package 'random'", _other_package),
}


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
