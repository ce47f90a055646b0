"""The types against the official SDK: same names, and every output that a program may ask for."""

import importlib
import inspect
import re
from typing import Any

import pytest

from engine.aws.registry import TYPES
from engine.aws.resource import Resource

# What the official provider also tells, and programs like ours never ask for. Nothing else may be
# missing: a program would find it None.
NOT_TOLD = {
    "aws:s3/bucket:Bucket": {
        "accelerationStatus",
        "acl",
        "bucketNamespace",
        "corsRules",
        "grants",
        "hostedZoneId",
        "lifecycleRules",
        "logging",
        "objectLockConfiguration",
        "policy",
        "replicationConfiguration",
        "requestPayer",
        "serverSideEncryptionConfiguration",
        "versioning",
        "website",
        "websiteDomain",
        "websiteEndpoint",
    },
    "aws:iam/accessKey:AccessKey": {"pgpKey"},
    "aws:iam/policy:Policy": {"delayAfterPolicyCreationInMs"},
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {"timeouts"},
}
OBJECT_NOT_TOLD = {
    "acl",
    "checksumAlgorithm",
    "checksumCrc32",
    "checksumCrc32c",
    "checksumCrc64nvme",
    "checksumSha1",
    "checksumSha256",
    "objectLockLegalHoldStatus",
    "objectLockMode",
    "objectLockRetainUntilDate",
    "overrideProvider",
    "source",
    "sourceHash",
    "websiteRedirect",
}


def camel(name: str) -> str:
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


def parameters(class_: Any) -> set[str]:
    return {
        camel(name) for name in inspect.signature(class_.__init__).parameters if "__" not in name
    }


def sdk(kind: type[Resource]) -> tuple[Any, Any]:
    """The SDK's classes of the type's arguments and of its state."""
    package, name = re.fullmatch(r"aws:(\w+)/\w+:(\w+)", kind.type_name).groups()  # type: ignore[union-attr]  # each type's name has this form
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    module = importlib.import_module(f"pulumi_aws.{package}.{snake}")
    # `InitArgs` where a nested type of the SDK has taken the plain name.
    arguments = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
    return arguments, getattr(module, f"_{name}State")


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: str(kind.type_name))
def test_names_are_the_official_ones(kind: type[Resource]) -> None:
    arguments, state = map(parameters, sdk(kind))
    missing = NOT_TOLD.get(kind.type_name, set())
    if "bucketObject" in kind.type_name:
        missing = OBJECT_NOT_TOLD & state | {"etag"}
    assert set(kind.properties) == arguments - missing
    assert set(kind.computed) == state - set(kind.properties) - (missing - {"etag"})


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: str(kind.type_name))
def test_requires_what_the_sdk_requires(kind: type[Resource]) -> None:
    signature = inspect.signature(sdk(kind)[0].__init__)
    required = {
        camel(name)
        for name, parameter in signature.parameters.items()
        if "__" not in name and parameter.default is inspect.Parameter.empty
    }
    ours = {name for name, property_ in kind.properties.items() if property_.required}
    assert required <= ours
