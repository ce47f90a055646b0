"""`aws.iam.UserGroupMembership`."""

import itertools
import secrets
from datetime import UTC, datetime
from typing import ClassVar

from typing_extensions import override

from engine.aws.limits import group_names, iam_name
from engine.aws.resource import IncompleteError, Property, Resource, Schema, equal_sets
from engine.provider import Properties

ID_SEPARATOR = "/"


class UserGroupMembership(Resource):
    """A user's membership in the groups named, which says nothing about other groups.

    Its id means nothing to AWS; an import names it `user/group/group…`.
    """

    type_name = "aws:iam/userGroupMembership:UserGroupMembership"
    properties: ClassVar[Schema] = {
        "user": Property(required=True, replaces=True, check=iam_name(64)),
        "groups": Property(required=True, same=equal_sets, check=group_names),
    }

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call a group."""
        id_ = unique_id()
        joined: list[str] = []
        for group in inputs["groups"]:
            try:
                self._join(inputs["user"], group)
            except self.clients.iam.exceptions.ClientError as error:
                if not joined:
                    raise
                partial = {**inputs, "groups": joined}
                raise IncompleteError(id_, self.outputs(id_, partial)) from error
            joined.append(group)
        return id_, self.outputs(id_, inputs)

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """Those of the recorded groups in which the user is; None when there is no such user."""
        if not known:
            user, *groups = id_.split(ID_SEPARATOR)
            id_, known = unique_id(), {"user": user, "groups": groups}
        paginator = self.clients.iam.get_paginator("list_groups_for_user")
        try:
            pages = list(paginator.paginate(UserName=known["user"]))
        except self.clients.iam.exceptions.NoSuchEntityException:
            return None
        actual = {group["GroupName"] for page in pages for group in page["Groups"]}
        kept = [group for group in known["groups"] if group in actual]
        return id_, self.outputs(id_, {"user": known["user"], "groups": kept})

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """Leaves groups no longer named and joins new ones."""
        before, after = old.get("groups") or [], news["groups"]
        for group in itertools.filterfalse(set(after).__contains__, before):
            self._leave(news["user"], group)
        for group in itertools.filterfalse(set(before).__contains__, after):
            self._join(news["user"], group)
        return self.outputs(id_, news)

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """Leaves the recorded groups."""
        for group in known["groups"]:
            self._leave(known["user"], group)

    def _join(self, user: str, group: str) -> None:
        iam = self.clients.iam
        self.clients.settling.known(lambda: iam.add_user_to_group(UserName=user, GroupName=group))

    def _leave(self, user: str, group: str) -> None:
        try:
            self.clients.iam.remove_user_from_group(UserName=user, GroupName=group)
        except self.clients.iam.exceptions.NoSuchEntityException:
            return


def unique_id() -> str:
    """An id in the form that the official provider gives to what AWS has no id for."""
    return f"terraform-{datetime.now(UTC):%Y%m%d%H%M%S%f}{secrets.token_hex(3)}"
