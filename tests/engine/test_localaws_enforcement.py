"""What the local AWS enforces over HTTPS, as far as the product leans on it."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from types_boto3_iam import IAMClient
from types_boto3_s3 import S3Client

from tests.localaws import ClientFactory

Key = dict[str, str]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def new_user(iam: IAMClient, name: str, document: str, **options: Any) -> Key:
    iam.create_user(UserName=name, **options)
    iam.put_user_policy(UserName=name, PolicyName="access", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def refusal(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


EVERYTHING = policy({"Effect": "Allow", "Action": "*", "Resource": "*"})


def test_a_group_deny_ends_session_tokens(
    iam: IAMClient, aws_client: ClientFactory, unique: str
) -> None:
    """RX-22: a token taken before is worthless as soon as the group denies session tokens."""
    key = new_user(iam, unique, EVERYTHING)
    sts = aws_client("sts", **key)
    taken = sts.get_session_token()["Credentials"]
    token = {
        "key": taken["AccessKeyId"],
        "secret": taken["SecretAccessKey"],
        "token": taken["SessionToken"],
    }
    s3 = aws_client("s3", **token)
    s3.list_buckets()
    iam.create_group(GroupName=unique)
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"Null": {"aws:TokenIssueTime": "false"}},
    }
    iam.put_group_policy(GroupName=unique, PolicyName="no-tokens", PolicyDocument=policy(deny))
    iam.add_user_to_group(GroupName=unique, UserName=unique)
    assert refusal(s3.list_buckets) == "AccessDenied"
    assert aws_client("s3", **key).list_buckets()["Buckets"] is not None


def test_an_inactive_key_is_refused(iam: IAMClient, aws_client: ClientFactory, unique: str) -> None:
    """RX-22."""
    key = new_user(iam, unique, EVERYTHING)
    sts, s3 = aws_client("sts", **key), aws_client("s3", **key)
    sts.get_caller_identity()
    iam.update_access_key(UserName=unique, AccessKeyId=key["key"], Status="Inactive")
    assert refusal(sts.get_caller_identity) == "InvalidClientTokenId"
    assert refusal(s3.list_buckets) == "InvalidAccessKeyId"


def test_listing_is_bound_to_the_prefix(
    iam: IAMClient, aws_client: ClientFactory, unique: str, bucket: str
) -> None:
    """SP-23: `ABC-LLC/*` lets `ABC-LLC/` be listed, not `ABC-LLC`, `ABC-LLC-2/` nor the root."""
    listing = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{bucket}",
        "Condition": {"StringLike": {"s3:prefix": ["ABC-LLC/*"]}},
    }
    s3 = aws_client("s3", **new_user(iam, unique, policy(listing)))
    assert s3.list_objects_v2(Bucket=bucket, Prefix="ABC-LLC/")["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket=bucket, Prefix="ABC-LLC/images/")["KeyCount"] == 0
    for prefix in ("ABC-LLC", "ABC-LLC-2/", ""):
        assert refusal(s3.list_objects_v2, Bucket=bucket, Prefix=prefix) == "AccessDenied"
    assert refusal(s3.list_objects_v2, Bucket=bucket) == "AccessDenied"


def test_a_boundary_caps_what_policies_grant(
    iam: IAMClient, aws_client: ClientFactory, unique: str, bucket: str
) -> None:
    put_only = policy({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"})
    boundary = iam.create_policy(PolicyName=unique, PolicyDocument=put_only)["Policy"]["Arn"]
    key = new_user(iam, unique, EVERYTHING, PermissionsBoundary=boundary)
    s3 = aws_client("s3", **key)
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == "AccessDenied"
    assert refusal(s3.list_buckets) == "AccessDenied"


@pytest.mark.parametrize(("denied_when", "refused"), [("false", False), ("true", True)])
def test_secure_transport_is_seen(
    iam: IAMClient,
    s3: S3Client,
    aws_client: ClientFactory,
    unique: str,
    bucket: str,
    denied_when: str,
    refused: bool,
) -> None:
    """RX-02: over HTTPS a TLS-only bucket policy lets clients in, and is evaluated at all."""
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": denied_when}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    client = aws_client("s3", **new_user(iam, unique, EVERYTHING))
    if refused:
        assert refusal(client.list_objects_v2, Bucket=bucket) == "AccessDenied"
    else:
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
