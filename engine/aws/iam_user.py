"""`aws.iam.User`."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from typing_extensions import override

from engine.aws import tagging
from engine.aws.failures import code_of
from engine.aws.limits import flag, iam_name, iam_path, policy_arn, tags
from engine.aws.resource import Property, Resource, Schema
from engine.provider import Properties

# AWS answers this where the entity is not there, and the local stand-in to operations it lacks:
# in both cases there is nothing of that kind to take away.
ABSENT = frozenset({"NoSuchEntity", "InvalidAction"})


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
        """
        for each in self._belongings if known.get("forceDestroy") else [self._groups]:
            self._unless_absent(each, id_)
        try:
            self.clients.iam.delete_user(UserName=id_)
        except self.clients.iam.exceptions.NoSuchEntityException:
            return
        except self.clients.iam.exceptions.DeleteConflictException:
            if not known.get("forceDestroy"):
                raise
            for rare in (self._ssh_keys, self._certificates, self._service_credentials):
                self._unless_absent(rare, id_)
            self.clients.iam.delete_user(UserName=id_)

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

    # What belongs to a user and keeps AWS from deleting it. Keys come first: access ends at once.

    @property
    def _belongings(self) -> Sequence[Callable[[str], None]]:
        return (
            self._keys,
            self._login_profile,
            self._groups,
            self._inline_policies,
            self._attached_policies,
            self._mfa_devices,
        )

    @staticmethod
    def _unless_absent(remove: Callable[[str], None], name: str) -> None:
        try:
            remove(name)
        except ClientError as error:
            if code_of(error) not in ABSENT:
                raise

    def _pages(self, operation: str, name: str, member: str) -> list[Any]:
        paginator: Any = self.clients.iam.get_paginator(operation)  # type: ignore[call-overload]  # one of several operations
        return [item for page in paginator.paginate(UserName=name) for item in page[member]]

    def _keys(self, name: str) -> None:
        for key in self._pages("list_access_keys", name, "AccessKeyMetadata"):
            self.clients.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])

    def _login_profile(self, name: str) -> None:
        self.clients.iam.delete_login_profile(UserName=name)

    def _groups(self, name: str) -> None:
        for group in self._pages("list_groups_for_user", name, "Groups"):
            self.clients.iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])

    def _inline_policies(self, name: str) -> None:
        for policy in self._pages("list_user_policies", name, "PolicyNames"):
            self.clients.iam.delete_user_policy(UserName=name, PolicyName=policy)

    def _attached_policies(self, name: str) -> None:
        for policy in self._pages("list_attached_user_policies", name, "AttachedPolicies"):
            self.clients.iam.detach_user_policy(UserName=name, PolicyArn=policy["PolicyArn"])

    def _mfa_devices(self, name: str) -> None:
        for device in self._pages("list_mfa_devices", name, "MFADevices"):
            serial = device["SerialNumber"]
            self.clients.iam.deactivate_mfa_device(UserName=name, SerialNumber=serial)
            if ":mfa/" in serial:
                self.clients.iam.delete_virtual_mfa_device(SerialNumber=serial)

    def _ssh_keys(self, name: str) -> None:
        for key in self._pages("list_ssh_public_keys", name, "SSHPublicKeys"):
            self.clients.iam.delete_ssh_public_key(
                UserName=name, SSHPublicKeyId=key["SSHPublicKeyId"]
            )

    def _certificates(self, name: str) -> None:
        for certificate in self._pages("list_signing_certificates", name, "Certificates"):
            self.clients.iam.delete_signing_certificate(
                UserName=name, CertificateId=certificate["CertificateId"]
            )

    def _service_credentials(self, name: str) -> None:
        listed = self.clients.iam.list_service_specific_credentials(UserName=name)
        for credential in listed["ServiceSpecificCredentials"]:
            self.clients.iam.delete_service_specific_credential(
                UserName=name, ServiceSpecificCredentialId=credential["ServiceSpecificCredentialId"]
            )
