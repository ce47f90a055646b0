"""`aws.iam.User`."""

from typing import Any, ClassVar

from typing_extensions import override

from engine.aws import tagging
from engine.aws.iam_user_belongings import GROUPS, RARE, USUAL, take_away
from engine.aws.limits import flag, iam_name, iam_path, policy_arn, tags
from engine.aws.resource import Property, Resource, Schema
from engine.provider import Properties


class User(Resource):
    """An IAM user; its id is its name."""

    type_name = "aws:iam/user:User"
    properties: ClassVar[Schema] = {
        "name": Property(check=iam_name(64)),
        "path": Property(default="/", check=iam_path),
        "permissionsBoundary": Property(check=policy_arn),
        "forceDestroy": Property(default=False, check=flag),
        "tags": Property(check=tags(50)),
    }
    computed = ("arn", "tagsAll", "uniqueId")
    identity = ("name",)
    named = "name"

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call; its answer holds all outputs."""
        optional: Any = {}
        if boundary := inputs.get("permissionsBoundary"):
            optional["PermissionsBoundary"] = boundary
        if wanted := inputs.get("tags"):
            optional["Tags"] = tagging.to_aws(wanted)
        name = inputs["name"]
        made = self.clients.iam.create_user(UserName=name, Path=inputs["path"], **optional)["User"]
        self.clients.settling.made(name)
        return name, self._outputs(name, inputs, made["Arn"], made["UserId"])

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The user as GetUser tells it."""
        try:
            user = self.clients.iam.get_user(UserName=id_)["User"]
        except self.clients.iam.exceptions.NoSuchEntityException:
            return None
        name = user["UserName"]
        actual = {
            "name": name,
            "path": user["Path"],
            "permissionsBoundary": user.get("PermissionsBoundary", {}).get(
                "PermissionsBoundaryArn"
            ),
            "forceDestroy": known.get("forceDestroy", False),
            "tags": tagging.from_aws(user.get("Tags", [])),
        }
        return name, self._outputs(name, actual, user["Arn"], user["UserId"])

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """Name and path, boundary and tags change in place."""
        iam, name = self.clients.iam, news["name"]
        arn = old["arn"]
        if name != id_ or news["path"] != old.get("path"):
            iam.update_user(UserName=id_, NewUserName=name, NewPath=news["path"])
            arn = f"{arn.partition(':user/')[0]}:user{news['path']}{name}"
        self._set_boundary(name, old.get("permissionsBoundary"), news.get("permissionsBoundary"))
        removed, changed = tagging.change(old.get("tags"), news.get("tags"))
        if removed:
            iam.untag_user(UserName=name, TagKeys=removed)
        if changed:
            iam.tag_user(UserName=name, Tags=tagging.to_aws(changed))
        return self._outputs(name, news, arn, old["uniqueId"])

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """Out of its groups, with `forceDestroy` of all it has, then the user.

        What the user has is looked for first, not only once AWS has refused: the local stand-in
        deletes a user with policies and groups, and would hand them to the next of that name.
        Until it has settled, IAM may not know a new user, or refuse for what is gone already.
        """
        force, settling = bool(known.get("forceDestroy")), self.clients.settling
        for last in settling.looks():
            try:
                self._delete(id_, force=force)
            except self.clients.iam.exceptions.NoSuchEntityException:
                if not last and settling.is_new(id_):
                    continue
            except self.clients.iam.exceptions.DeleteConflictException:
                if last or not force:
                    raise
                take_away(self.clients.iam, id_, RARE)
                continue
            settling.forget(id_)
            return

    def _delete(self, name: str, *, force: bool) -> None:
        take_away(self.clients.iam, name, USUAL if force else GROUPS)
        self.clients.iam.delete_user(UserName=name)

    def _outputs(self, name: str, inputs: Properties, arn: str, unique_id: str) -> Properties:
        return self.outputs(
            name, inputs, arn=arn, uniqueId=unique_id, tagsAll=inputs.get("tags") or {}
        )

    def _set_boundary(self, name: str, old: str | None, new: str | None) -> None:
        if (old or None) == (new or None):
            return
        if new:
            self.clients.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=new)
        else:
            self.clients.iam.delete_user_permissions_boundary(UserName=name)
