"""What AWS holds of the areas, read directly and changed nowhere: the other side of the records.

Users with keys, policies and groups, placeholder objects, and the stacks that the engine knows.
Nothing here tells what should be there; `service.reconcile` compares.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from stacks.access import is_gone, told
from stacks.client import TAG_CLIENT
from stacks.clients import clients_for

PARALLEL_CALLS = 8
"""Calls to AWS at once: IAM throttles an account that asks much faster."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class HeldUser:
    """An IAM user as AWS holds it.

    `client_id` is our tag's value, None without the tag. `keys` maps key ids to whether AWS
    accepts them; `inline` maps names of inline policies to their content.
    """

    name: str
    client_id: str | None
    boundary_arn: str | None
    inline: Mapping[str, Any]
    attached: tuple[str, ...]
    groups: tuple[str, ...]
    keys: Mapping[str, bool]


def held_users(environment: Mapping[str, str], names: Collection[str]) -> list[HeldUser]:
    """Return the users that carry our tag, and those of the given names whatever they carry.

    Names count without their case, as in IAM. Raises `StackError` when AWS does not answer.
    """
    wanted = {name.lower() for name in names}
    iam = clients_for(environment).iam
    with told("inventory"):
        pages = iam.get_paginator("get_account_authorization_details").paginate(Filter=["User"])
        details: list[Any] = [user for page in pages for user in page["UserDetailList"]]
        relevant = [
            detail
            for detail in details
            if _client_id(detail) is not None or detail["UserName"].lower() in wanted
        ]
        found = _at_once(lambda detail: _held_user(iam, detail), relevant)
    return [user for user in found if user is not None]


def objects_there(
    environment: Mapping[str, str], objects: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the size in bytes of those of the objects, pairs of bucket and key, that exist.

    Raises `StackError` when AWS does not answer.
    """
    wanted = list(objects)
    s3 = clients_for(environment).s3()
    with told("inventory"):
        sizes = _at_once(lambda place: _size(s3, place), wanted)
    return {place: size for place, size in zip(wanted, sizes, strict=True) if size is not None}


def _client_id(detail: Any) -> str | None:
    tags = detail.get("Tags", [])
    return next((tag["Value"] for tag in tags if tag["Key"] == TAG_CLIENT), None)


def _held_user(iam: Any, detail: Any) -> HeldUser | None:
    name = detail["UserName"]
    try:
        pages = iam.get_paginator("list_access_keys").paginate(UserName=name)
        keys = {
            key["AccessKeyId"]: key["Status"] == "Active"
            for page in pages
            for key in page["AccessKeyMetadata"]
        }
        # Not every AWS tells the boundary with the details.
        boundary = detail.get("PermissionsBoundary") or iam.get_user(UserName=name)["User"].get(
            "PermissionsBoundary", {}
        )
    except ClientError as error:
        if is_gone(error):
            return None
        raise
    return HeldUser(
        name=name,
        client_id=_client_id(detail),
        boundary_arn=boundary.get("PermissionsBoundaryArn"),
        inline={p["PolicyName"]: p["PolicyDocument"] for p in detail.get("UserPolicyList", [])},
        attached=tuple(p["PolicyArn"] for p in detail.get("AttachedManagedPolicies", [])),
        groups=tuple(detail.get("GroupList", [])),
        keys=keys,
    )


def _size(s3: Any, place: tuple[str, str]) -> int | None:
    bucket, key = place
    try:
        return int(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def _at_once(call: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    if not items:
        return []
    with ThreadPoolExecutor(min(PARALLEL_CALLS, len(items)), "inventory") as pool:
        return list(pool.map(call, items))
