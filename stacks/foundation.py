"""The program of what all areas share: bucket, access logs, group, permissions boundary."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import iam, s3

from stacks import policies

FOUNDATION_PROJECT = "handover-foundation"
FOUNDATION_STACK = "main"

GROUP_POLICY = "deny-session-tokens"
"""Name of the group's policy; without it a key that is switched off lives on in its tokens."""

INCOMPLETE_UPLOAD_DAYS = 7
"""Days after which S3 aborts uploads that were begun and never completed."""


@dataclass(frozen=True)
class FoundationInputs:
    """Names of what the areas share; ``account`` is the AWS account's 12 digits."""

    bucket: str
    region: str
    account: str
    group: str = "Clients"
    boundary_name: str = "handover-client-boundary"
    imports: Mapping[str, str] = field(default_factory=dict)
    """Logical name → physical id of what exists already and is adopted, never replaced."""

    @property
    def log_bucket(self) -> str:
        """Return the bucket that receives the access logs, in the same EU region."""
        return f"{self.bucket[:51]}-access-logs"

    @property
    def boundary_arn(self) -> str:
        """Return the ARN of the permissions boundary, known before it is made."""
        partition = policies.partition_of(self.region)
        return f"arn:{partition}:iam::{self.account}:policy/{self.boundary_name}"


class FoundationProgram:
    """Declares the foundation; call it inside a Pulumi deployment."""

    project_name = FOUNDATION_PROJECT
    stack_name = FOUNDATION_STACK

    def __init__(self, inputs: FoundationInputs) -> None:
        self.inputs = inputs

    def __call__(self) -> None:
        """Register the resources and export their names."""
        it = self.inputs
        logs = self._bucket("logs", it.log_bucket)
        logs_policy = self._bucket_policy(
            "logs",
            logs,
            policies.log_bucket_policy(it.log_bucket, it.bucket, it.region, it.account),
        )
        clients = self._bucket("clients", it.bucket)
        self._bucket_policy("clients", clients, policies.tls_only_policy(it.bucket, it.region))
        s3.BucketLogging(
            "clients-logging",
            bucket=clients.id,
            target_bucket=logs.id,
            target_prefix=f"{it.bucket}/",
            opts=pulumi.ResourceOptions(depends_on=[logs_policy]),
        )
        self._group()
        self._boundary()
        pulumi.export("bucket", clients.id)
        pulumi.export("log_bucket", logs.id)
        pulumi.export("group", it.group)
        pulumi.export("boundary_arn", it.boundary_arn)

    def _kept(self, logical_name: str, ignore: list[str] | None = None) -> pulumi.ResourceOptions:
        """Return options of what must survive any mistake: protected, retained, maybe adopted."""
        return pulumi.ResourceOptions(
            protect=True,
            retain_on_delete=True,
            import_=self.inputs.imports.get(logical_name),
            ignore_changes=ignore,
        )

    def _bucket(self, logical_name: str, name: str) -> s3.Bucket:
        # Tags of an adopted bucket belong to whoever set them.
        bucket = s3.Bucket(
            logical_name, bucket=name, opts=self._kept(logical_name, ["tags", "forceDestroy"])
        )
        s3.BucketVersioning(
            f"{logical_name}-versioning",
            bucket=bucket.id,
            versioning_configuration={"status": "Enabled"},
        )
        s3.BucketServerSideEncryptionConfiguration(
            f"{logical_name}-encryption",
            bucket=bucket.id,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
        )
        s3.BucketOwnershipControls(
            f"{logical_name}-ownership",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
        )
        s3.BucketLifecycleConfiguration(
            f"{logical_name}-lifecycle",
            bucket=bucket.id,
            rules=[
                {
                    "id": "abort-incomplete-uploads",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "abort_incomplete_multipart_upload": {
                        "days_after_initiation": INCOMPLETE_UPLOAD_DAYS
                    },
                }
            ],
        )
        return bucket

    def _bucket_policy(
        self, logical_name: str, bucket: s3.Bucket, policy: policies.Policy
    ) -> s3.BucketPolicy:
        access = s3.BucketPublicAccessBlock(
            f"{logical_name}-public-access",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
        )
        return s3.BucketPolicy(
            f"{logical_name}-policy",
            bucket=bucket.id,
            policy=policies.compact(policy),
            opts=pulumi.ResourceOptions(depends_on=[access]),
        )

    def _group(self) -> None:
        group = iam.Group("group", name=self.inputs.group, opts=self._kept("group"))
        iam.GroupPolicy(
            "group-no-session-tokens",
            name=GROUP_POLICY,
            group=group.name,
            policy=policies.compact(policies.session_token_denial()),
        )

    def _boundary(self) -> None:
        it = self.inputs
        iam.Policy(
            "boundary",
            name=it.boundary_name,
            description="The most that a user of a client may do.",
            policy=policies.compact(policies.boundary_policy(it.bucket, it.region)),
            opts=self._kept("boundary"),
        )
