"""Programs that the suite runs; small, and of the shape that a service like ours has."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

Program = Callable[[], None]
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'


def user_program(name: str, *, path: str = "/", protect: bool = False) -> Program:
    """A user with a tag, and every JSON type among the outputs."""

    def program() -> None:
        user = aws.iam.User("user", name=name, path=path, opts=ResourceOptions(protect=protect))
        pulumi.export("name", user.name)
        pulumi.export("facts", {"numbers": [1, 2.5], "nothing": None, "yes": True, "text": "é"})

    return program


def client_program(name: str, *, tag: str = "1") -> Program:
    """What a client's stack holds beside its object."""

    def program() -> None:
        user = aws.iam.User("user", name=name, tags={"tag": tag})
        aws.iam.UserPolicy("policy", user=user.name, name=f"{name}_s3_access", policy=POLICY)
        key = aws.iam.AccessKey("key", user=user.name)
        pulumi.export("name", user.name)
        pulumi.export("secret", key.secret)

    return program


def two_users(name: str, *, second: bool = True, protect: bool = False) -> Program:
    """Two users that do not know each other; the first may be protected."""

    def program() -> None:
        aws.iam.User("first", name=f"{name}-1", opts=ResourceOptions(protect=protect))
        if second:
            aws.iam.User("second", name=f"{name}-2")

    return program


def nothing() -> None:
    """A program without resources."""
