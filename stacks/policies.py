"""IAM and bucket policies as plain data.

Everything that decides who may do what is in this file, so that it can be read in one sitting and
compared with the procedure (SP-23, SP-24). Nothing here talks to AWS.
"""

import json
from collections.abc import Callable
from typing import Any

Policy = dict[str, Any]
Statement = dict[str, Any]

POLICY_VERSION = "2012-10-17"

INLINE_POLICY_LIMIT = 2048
"""Characters, white space aside, that all inline policies of one user may have together (AWS)."""


SUSPENSION_POLICY = "handover-suspended"
"""Name of the inline policy that denies a suspended client's user everything."""


class PolicyTooLong(ValueError):
    """The policy is longer than AWS permits for the inline policies of one user."""


def partition_of(region: str) -> str:
    """Return the ARN partition of an AWS region (the European Sovereign Cloud has its own)."""
    return "aws-eusc" if region.startswith("eusc-") else "aws"


def bucket_arn(bucket: str, region: str) -> str:
    """Return the ARN of a bucket."""
    return f"arn:{partition_of(region)}:s3:::{bucket}"


def compact(policy: Policy) -> str:
    """Return the policy as the JSON text that is sent to AWS."""
    return json.dumps(policy, separators=(",", ":"))


def area_policy(profile: str, *, bucket: str, slug: str, region: str) -> Policy:
    """Return the inline user policy that limits a client to its prefix (SP-23, SP-24, PB-17).

    ``profile`` is one of `PROFILES`. Raises `KeyError` for another name and `PolicyTooLong` when
    bucket and slug together make it longer than AWS accepts beside `suspension_denial`.
    """
    policy: Policy = {
        "Version": POLICY_VERSION,
        "Statement": PROFILES[profile](bucket_arn(bucket, region), slug),
    }
    if _size(policy) + _size(suspension_denial()) > INLINE_POLICY_LIMIT:
        raise PolicyTooLong(f"The {profile} policy of {slug} is over {INLINE_POLICY_LIMIT} bytes.")
    return policy


def _size(policy: Policy) -> int:
    return len("".join(compact(policy).split()))


def _allow(actions: list[str], resource: str, condition: dict[str, Any] | None = None) -> Statement:
    statement: Statement = {"Effect": "Allow", "Action": actions, "Resource": [resource]}
    if condition is not None:
        statement["Condition"] = condition
    return statement


def _list_own_prefix(arn: str, slug: str, actions: list[str]) -> Statement:
    # The slash keeps ABC-LLC from listing ABC-LLC-2; the star also matches nothing, so that
    # `ABC-LLC/` itself can be listed.
    return _allow(actions, arn, {"StringLike": {"s3:prefix": [f"{slug}/*"]}})


def _acl_for_owner_only(arn: str, slug: str) -> Statement:
    # Common tools send this one ACL with each upload; with "bucket owner enforced" it grants
    # nothing, and without the permission the upload would be refused.
    return _allow(
        ["s3:PutObjectAcl"],
        f"{arn}/{slug}/*",
        {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
    )


def _sp_050_003(arn: str, slug: str) -> list[Statement]:
    """Return the statements of SP-050-003, to the letter."""
    return [
        _list_own_prefix(arn, slug, ["s3:ListBucket"]),
        _allow(
            [
                "s3:GetObject",
                "s3:GetObjectAcl",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionAcl",
                "s3:PutObject",
                "s3:PutObjectAcl",
                "s3:PutObjectVersionAcl",
            ],
            f"{arn}/{slug}/*",
            {},
        ),
    ]


_UPLOAD_ACTIONS = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
_DOWNLOAD_ACTIONS = ["s3:GetObject", "s3:GetObjectVersion"]


def _hardened(arn: str, slug: str) -> list[Statement]:
    """Return statements to list, read and write; none that delete or open to others."""
    return [
        _list_own_prefix(
            arn,
            slug,
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"],
        ),
        _allow([*_DOWNLOAD_ACTIONS, *_UPLOAD_ACTIONS], f"{arn}/{slug}/*"),
        _acl_for_owner_only(arn, slug),
    ]


def _read_only(arn: str, slug: str) -> list[Statement]:
    """Return statements to list and read."""
    return [
        _list_own_prefix(arn, slug, ["s3:ListBucket", "s3:ListBucketVersions"]),
        _allow(_DOWNLOAD_ACTIONS, f"{arn}/{slug}/*"),
    ]


def _write_only(arn: str, slug: str) -> list[Statement]:
    """Return statements to write; listing stays, or ``aws s3 sync`` breaks."""
    return [
        _list_own_prefix(arn, slug, ["s3:ListBucket", "s3:ListBucketMultipartUploads"]),
        _allow(_UPLOAD_ACTIONS, f"{arn}/{slug}/*"),
        _acl_for_owner_only(arn, slug),
    ]


PROFILES: dict[str, Callable[[str, str], list[Statement]]] = {
    "sp-050-003": _sp_050_003,
    "hardened": _hardened,
    "read-only": _read_only,
    "write-only": _write_only,
}
"""Policy profiles by name; `hardened` is the default, `sp-050-003` the procedure's own text."""


def boundary_policy(bucket: str, region: str) -> Policy:
    """Return the permissions boundary: the most that any profile may ever give a client's user."""
    arn = bucket_arn(bucket, region)
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            _allow(
                ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"], arn
            ),
            _allow(
                [
                    "s3:GetObject",
                    "s3:GetObjectAcl",
                    "s3:GetObjectVersion",
                    "s3:GetObjectVersionAcl",
                    "s3:PutObject",
                    "s3:PutObjectAcl",
                    "s3:PutObjectVersionAcl",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                f"{arn}/*",
            ),
        ],
    }


def suspension_denial() -> Policy:
    """Return the inline policy that ends all access of a suspended client's user (RX-22).

    An explicit denial overrides whatever permits, and reaches keys that are made after it.
    """
    return {
        "Version": POLICY_VERSION,
        "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
    }


def session_token_denial() -> Policy:
    """Return the group's policy: session tokens are worthless (RX-22).

    A token from ``sts get-session-token`` outlives the key it was made with by up to 36 hours.
    ``aws:TokenIssueTime`` is present only for temporary credentials.
    """
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Sid": "DenySessionTokens",
                "Effect": "Deny",
                "Action": ["*"],
                "Resource": ["*"],
                "Condition": {"Null": {"aws:TokenIssueTime": "false"}},
            }
        ],
    }


def _deny_plain_http(arn: str) -> Statement:
    return {
        "Sid": "DenyPlainHttp",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def tls_only_policy(bucket: str, region: str) -> Policy:
    """Return the bucket policy that refuses plain HTTP (RX-02, PB-29)."""
    return {
        "Version": POLICY_VERSION,
        "Statement": [_deny_plain_http(bucket_arn(bucket, region))],
    }


def log_bucket_policy(log_bucket: str, bucket: str, region: str, account: str) -> Policy:
    """Return the log bucket's policy: S3's own log delivery for this bucket, and TLS only."""
    arn = bucket_arn(log_bucket, region)
    delivery: Statement = {
        "Sid": "S3ServerAccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": ["s3:PutObject"],
        "Resource": [f"{arn}/*"],
        "Condition": {
            "ArnLike": {"aws:SourceArn": bucket_arn(bucket, region)},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }
    return {"Version": POLICY_VERSION, "Statement": [delivery, _deny_plain_http(arn)]}
