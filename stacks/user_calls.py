"""The IAM calls on one user with which its access is cut, given back and read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from stacks.access import is_gone
from stacks.client import TAG_CLIENT
from stacks.clients import hurried_clients_for
from stacks.policies import SUSPENSION_POLICY, compact, suspension_denial


@dataclass(frozen=True)
class HeldKey:
    """A key as AWS holds it; `active`: AWS accepts it."""

    access_key_id: str
    active: bool


class UserCalls:
    """Single calls that somebody waits for; ``environment`` holds the AWS settings.

    Each raises what boto3 raises, and takes what is gone for cut.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    # Looked up at each use, as in `stacks.access`: a service that can't reach AWS has to start.
    @property
    def _iam(self) -> Any:
        return hurried_clients_for(self._environment).iam

    def _owner(self, user_name: str) -> str | None:
        """Return the client id in the user's tag, "" for a user without it, None for no user."""
        try:
            user = self._iam.get_user(UserName=user_name)["User"]
            tags = user.get("Tags") or self._iam.list_user_tags(UserName=user_name)["Tags"]
        except ClientError as error:
            if is_gone(error):
                return None
            raise
        return next((str(tag["Value"]) for tag in tags if tag["Key"] == TAG_CLIENT), "")

    def _keys(self, user_name: str) -> list[HeldKey]:
        try:
            pages = self._iam.get_paginator("list_access_keys").paginate(UserName=user_name)
            return [
                HeldKey(key["AccessKeyId"], key["Status"] == "Active")
                for page in pages
                for key in page["AccessKeyMetadata"]
            ]
        except ClientError as error:
            if is_gone(error):
                return []
            raise

    def _denied(self, user_name: str) -> bool:
        """Tell whether our denial is there, whole: one that was edited by hand denies nothing."""
        try:
            found = self._iam.get_user_policy(UserName=user_name, PolicyName=SUSPENSION_POLICY)
        except ClientError as error:
            if is_gone(error):
                return False
            raise
        document = found["PolicyDocument"]
        held = json.loads(unquote(document)) if isinstance(document, str) else document
        return bool(held == suspension_denial())

    def _deny(self, user_name: str) -> None:
        self._iam.put_user_policy(
            UserName=user_name,
            PolicyName=SUSPENSION_POLICY,
            PolicyDocument=compact(suspension_denial()),
        )

    def _allow(self, user_name: str) -> None:
        try:
            self._iam.delete_user_policy(UserName=user_name, PolicyName=SUSPENSION_POLICY)
        except ClientError as error:
            if not is_gone(error):
                raise

    def _switch(self, user_name: str, key_id: str, *, active: bool) -> None:
        status = "Active" if active else "Inactive"
        try:
            self._iam.update_access_key(UserName=user_name, AccessKeyId=key_id, Status=status)
        except ClientError as error:
            if not is_gone(error):
                raise
