"""The program of one client's area: placeholder object, user, membership, policy, keys."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

# By name: the package loads a module at its first use, which two threads must not do at once.
from pulumi_aws.iam import AccessKey, User, UserGroupMembership, UserPolicy
from pulumi_aws.s3 import BucketObjectv2

from stacks.policies import area_policy, compact

CLIENTS_PROJECT = "handover-clients"

TAG_CLIENT = "handover:client"
"""Tag on the user that holds the client's id: what carries it is ours, and only that."""
TAG_MANAGED_BY = "handover:managed-by"


@dataclass(frozen=True)
class KeyGeneration:
    """One access key of the area, counted from 1; ``active`` is the wished status."""

    generation: int
    active: bool = True

    @property
    def logical_name(self) -> str:
        """Return the name of the key's resource in the stack."""
        return f"key-{self.generation}"


@dataclass(frozen=True)
class AreaInputs:
    """All that the client program needs, as plain values (no stack references)."""

    client_id: str
    slug: str
    bucket: str
    region: str
    group: str
    boundary_arn: str
    profile: str
    keys: tuple[KeyGeneration, ...]

    @property
    def user_name(self) -> str:
        """Return the IAM user's name (SP-19; IAM forbids the spaces of the legal name)."""
        return self.slug

    @property
    def prefix(self) -> str:
        """Return the area's prefix in the bucket, with the closing slash."""
        return f"{self.slug}/"

    @property
    def placeholder_key(self) -> str:
        """Return the key of the object that stands for the client's folder (SP-17)."""
        return f"{self.slug}/images/"

    @property
    def policy_name(self) -> str:
        """Return the inline policy's name (SP-25)."""
        return f"{self.slug}_s3_access"

    def tags(self) -> dict[str, str]:
        """Return the tags of the user: ids only, in the characters that IAM permits."""
        return {TAG_CLIENT: self.client_id, TAG_MANAGED_BY: "handover"}


class ClientProgram:
    """Declares the area of one client; call it inside a Pulumi deployment."""

    project_name = CLIENTS_PROJECT

    def __init__(self, inputs: AreaInputs) -> None:
        self.inputs = inputs
        self.stack_name = inputs.slug

    def __call__(self) -> None:
        """Register the resources and export what the record needs."""
        area = self.inputs
        self._placeholder()
        user = User(
            "user",
            name=area.user_name,
            permissions_boundary=area.boundary_arn,
            force_destroy=True,
            tags=area.tags(),
        )
        membership = UserGroupMembership("membership", user=user.name, groups=[area.group])
        policy = UserPolicy(
            "policy",
            name=area.policy_name,
            user=user.name,
            policy=compact(
                area_policy(area.profile, bucket=area.bucket, slug=area.slug, region=area.region)
            ),
        )
        self._export(self._keys(user, [membership, policy]))

    def _placeholder(self) -> None:
        area = self.inputs
        BucketObjectv2(
            "placeholder",
            bucket=area.bucket,
            key=area.placeholder_key,
            content="",
            content_type="application/x-directory",
        )

    def _keys(self, user: User, limits: list[pulumi.Resource]) -> Mapping[KeyGeneration, AccessKey]:
        # A key never exists before what limits it, and goes before it goes.
        return {
            key: AccessKey(
                key.logical_name,
                user=user.name,
                status="Active" if key.active else "Inactive",
                opts=pulumi.ResourceOptions(depends_on=limits),
            )
            for key in self.inputs.keys
        }

    def _export(self, keys: Mapping[KeyGeneration, AccessKey]) -> None:
        area = self.inputs
        pulumi.export("bucket", area.bucket)
        pulumi.export("prefix", area.prefix)
        pulumi.export("region", area.region)
        pulumi.export("user_name", area.user_name)
        pulumi.export("policy_name", area.policy_name)
        pulumi.export("profile", area.profile)
        pulumi.export("access_key_ids", {str(k.generation): key.id for k, key in keys.items()})
        pulumi.export(
            "access_key_secrets",
            pulumi.Output.secret({str(k.generation): key.secret for k, key in keys.items()}),
        )
