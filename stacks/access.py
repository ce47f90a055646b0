"""Direct IAM calls on one area's user: key off, proof of a key, stripping before a teardown.

They go around the engine on purpose: cutting a key must wait for no stack, lock or queue (RX-22),
and what someone added by hand is in no stack at all.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from engine.aws.clients import Clients
from engine.aws.failures import UNREACHABLE, is_unreached
from engine.aws.settling import Settling
from engine.provider import ProviderError
from stacks.client import TAG_CLIENT, AreaInputs
from stacks.clients import acting_with_key, clients_for
from stacks.failures import Failure, StackError, classify

_NOT_YET = {"InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "AccessDenied"}
"""What AWS answers while a new key or policy is not known everywhere yet."""


@dataclass(frozen=True)
class KeyOff:
    """What cutting a user's access did: ids of the keys that are inactive now."""

    user_name: str
    access_key_ids: tuple[str, ...]


@dataclass(frozen=True)
class Remaining:
    """What still lies under a prefix."""

    objects: int
    bytes: int


def error_code(error: ClientError) -> str:
    """Return the AWS code of a boto3 error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_gone(error: ClientError) -> bool:
    """Tell whether the error says that the thing does not exist, which is fine when removing it."""
    return error_code(error) in ("NoSuchEntity", "NoSuchKey", "404")


class AreaAccess:
    """Direct calls for the area's user; ``environment`` holds the AWS settings."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    # Looked up at each use: making them fails where AWS must not be reached, and a service that
    # can't reach AWS still has to start and say so.
    @property
    def _iam(self) -> Any:
        return clients_for(self._environment).iam

    @property
    def iam(self) -> Any:
        """IAM, for what is about no one area."""
        return self._iam

    @property
    def _s3(self) -> Any:
        return clients_for(self._environment).s3()

    @property
    def settling(self) -> Settling:
        """Return how long IAM may take to know what was made or deleted."""
        return clients_for(self._environment).settling

    def owner_of(self, user_name: str) -> str | None:
        """Return the client id in the user's tag, "" for a user without it, None for no user."""
        try:
            tags = self._iam.get_user(UserName=user_name)["User"].get("Tags", [])
            if not tags:
                tags = self._iam.list_user_tags(UserName=user_name)["Tags"]
        except ClientError as error:
            if is_gone(error):
                return None
            raise
        return next((tag["Value"] for tag in tags if tag["Key"] == TAG_CLIENT), "")

    def key_ids(self, user_name: str) -> list[str]:
        """Return the ids of all of the user's access keys; none for a user that is gone."""
        try:
            pages = self._iam.get_paginator("list_access_keys").paginate(UserName=user_name)
            return [key["AccessKeyId"] for page in pages for key in page["AccessKeyMetadata"]]
        except ClientError as error:
            if is_gone(error):
                return []
            raise

    def key_off(self, area: AreaInputs, known_key_ids: Sequence[str]) -> KeyOff:
        """Make every key of the area's user inactive, at once (RX-22).

        Of a user that does not carry our tag only the ``known_key_ids`` are cut: the rest may be
        a stranger's. Session tokens taken from the keys never worked: the group denies them.
        Raises `StackError` when AWS refuses; a user that is gone has no access, which is success.
        """
        with told(area.slug):
            ids = self.key_ids(area.user_name)
            if self.owner_of(area.user_name) != area.client_id:
                ids = [key_id for key_id in ids if key_id in known_key_ids]
            # One that was made just now may not be listed yet.
            ids += [key_id for key_id in known_key_ids if key_id not in ids]
            off = [key_id for key_id in ids if self._switch_off(area.user_name, key_id)]
        return KeyOff(area.user_name, tuple(off))

    def _switch_off(self, user_name: str, key_id: str) -> bool:
        return self._unless_gone(
            self._iam.update_access_key,
            UserName=user_name,
            AccessKeyId=key_id,
            Status="Inactive",
        )

    def delete_key(self, user_name: str, key_id: str) -> None:
        """Delete one access key; one that is gone is fine."""
        self._unless_gone(self._iam.delete_access_key, UserName=user_name, AccessKeyId=key_id)

    def remove_policy(self, user_name: str, policy: str) -> None:
        """Take one policy from a user: an inline one by its name, an attached one by its ARN."""
        if policy.startswith("arn:"):
            self._unless_gone(self._iam.detach_user_policy, UserName=user_name, PolicyArn=policy)
        else:
            self._unless_gone(self._iam.delete_user_policy, UserName=user_name, PolicyName=policy)

    def delete_user(self, area: AreaInputs) -> None:
        """Delete the area's user with all that hangs on it, and wait until it is gone.

        IAM may refuse for a while for keys and policies that are gone already, and may still tell
        of a user that is.
        """
        for last in self.settling.looks():
            for key_id in self.key_ids(area.user_name):
                self.delete_key(area.user_name, key_id)
            self.strip_user(area, keep_own=False)
            try:
                self._unless_gone(self._iam.delete_user, UserName=area.user_name)
            except self._iam.exceptions.DeleteConflictException:
                if last:
                    raise
            if last or self.owner_of(area.user_name) is None:
                return

    def strip_user(self, area: AreaInputs, *, keep_own: bool = True) -> None:
        """Take away what someone added to the user by hand and what would stop its deletion.

        With ``keep_own`` the area's own inline policy and group stay for the engine to remove.
        """
        name = area.user_name
        own_policies = {area.policy_name} if keep_own else set()
        own_groups = {area.group} if keep_own else set()
        self._unless_gone(self._iam.delete_login_profile, UserName=name)
        for policy in self._listed("list_user_policies", "PolicyNames", name):
            if policy not in own_policies:
                self._unless_gone(self._iam.delete_user_policy, UserName=name, PolicyName=policy)
        for policy in self._listed("list_attached_user_policies", "AttachedPolicies", name):
            arn = policy["PolicyArn"]
            self._unless_gone(self._iam.detach_user_policy, UserName=name, PolicyArn=arn)
        for group in self._listed("list_groups_for_user", "Groups", name):
            group_name = group["GroupName"]
            if group_name not in own_groups:
                self._unless_gone(
                    self._iam.remove_user_from_group, UserName=name, GroupName=group_name
                )

    def delete_placeholder(self, area: AreaInputs) -> None:
        """Delete the placeholder object if it is ours: an empty one; a client's object stays."""
        where = {"Bucket": area.bucket, "Key": area.placeholder_key}
        try:
            head = self._s3.head_object(**where)
        except ClientError as error:
            if is_gone(error):
                return
            raise
        if head["ContentLength"] == 0:
            self._s3.delete_object(**where)

    def remaining(self, area: AreaInputs) -> Remaining:
        """Count the objects that lie under the area's prefix, the placeholder aside."""
        objects, size = 0, 0
        with told(area.slug):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=area.bucket, Prefix=area.prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    if item["Key"] != area.placeholder_key:
                        objects, size = objects + 1, size + item["Size"]
        return Remaining(objects, size)

    def user_count(self) -> int:
        """Return how many IAM users the account holds, from its summary."""
        return int(self._iam.get_account_summary()["SummaryMap"]["Users"])

    def _listed(self, operation: str, field: str, user_name: str) -> list[Any]:
        try:
            pages = self._iam.get_paginator(operation).paginate(UserName=user_name)
            return [item for page in pages for item in page[field]]
        except ClientError as error:
            if is_gone(error):
                return []
            raise

    @staticmethod
    def _unless_gone(call: Callable[..., Any], **arguments: str) -> bool:
        """Call, and tell whether there was something to act upon."""
        try:
            call(**arguments)
        except ClientError as error:
            if not is_gone(error):
                raise
            return False
        return True


class KeyNotProven(StackError):
    """A new key was made and did not work within the time allowed.

    `not_yet`: AWS answered as it does while a key is not known everywhere yet.
    """

    @property
    def not_yet(self) -> bool:
        return self.failure.code in _NOT_YET


def prove_key(
    environment: Mapping[str, str],
    area: AreaInputs,
    access_key_id: str,
    secret_access_key: str,
    *,
    timeout: float = 60.0,
    first_pause: float = 0.05,
) -> None:
    """Wait until a new key works: STS knows it, and it may list its own prefix.

    IAM is eventually consistent, so the calls are polled with growing pauses, ``timeout`` and
    ``first_pause`` in seconds. Listing is the one call that each profile permits. Raises
    `KeyNotProven` with AWS's last answer.
    """
    deadline, pause = time.monotonic() + timeout, first_pause
    with acting_with_key(environment, access_key_id, secret_access_key) as keyed:
        while (code := _refusal(keyed, area)) is not None:
            if code not in _NOT_YET or time.monotonic() + pause > deadline:
                sentence = f"The new key {access_key_id} does not work: AWS answers {code}."
                raise KeyNotProven(area.slug, Failure(code, sentence))
            time.sleep(pause)
            pause = min(pause * 2, 2.0)


def _refusal(keyed: Clients, area: AreaInputs) -> str | None:
    """Return the code with which AWS refuses the key's own calls, or None when it works."""
    try:
        keyed.sts.get_caller_identity()
        keyed.s3().list_objects_v2(Bucket=area.bucket, Prefix=area.prefix, MaxKeys=1)
    except ClientError as error:
        return error_code(error)
    return None


class told:  # noqa: N801 - reads as a statement: `with told(slug):`
    """Turn boto3's errors into `StackError`."""

    def __init__(self, stack: str) -> None:
        self.stack = stack

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, ClientError):
            raise StackError(self.stack, classify([("", str(error))])) from error
        if isinstance(error, ProviderError):
            raise StackError(self.stack, Failure(error.code, str(error))) from error
        if isinstance(error, BotoCoreError):
            code = UNREACHABLE if is_unreached(error) else type(error).__name__
            raise StackError(self.stack, Failure(code, str(error))) from error
