"""Fixtures of the local AWS: one real ministack with IAM enforcement for each test process."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from types_boto3_iam import IAMClient
from types_boto3_s3 import S3Client

from engine.localaws import LocalAws

ClientFactory = Callable[..., Any]


def client_of(local: LocalAws, service: str, *, endpoint_url: str = "", **credentials: str) -> Any:
    """A boto3 client of the local AWS that asks no environment and tries each call once.

    Args:
        credentials: `key`, `secret` and `token`; without them the root user's.
    """
    # Untyped: the stubs know services by literal names only.
    session: Any = boto3.Session()
    return session.client(
        service,
        endpoint_url=endpoint_url or local.endpoint_url,
        verify=str(local.ca_bundle),
        region_name=local.region,
        aws_access_key_id=credentials.get("key", "test"),
        aws_secret_access_key=credentials.get("secret", "test"),
        aws_session_token=credentials.get("token"),
        config=Config(retries={"total_max_attempts": 1}, proxies={}, connect_timeout=60),
    )


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The test process's own local AWS; tests share it, so each uses names of its own."""
    with LocalAws.start(tmp_path_factory.mktemp("local-aws")) as local:
        yield local


@pytest.fixture(scope="session")
def aws_client(local_aws: LocalAws) -> ClientFactory:
    """`aws_client("s3", key=…, secret=…, token=…)`: a client of the local AWS."""
    return lambda service, **options: client_of(local_aws, service, **options)


@pytest.fixture(scope="session")
def iam(aws_client: ClientFactory) -> IAMClient:
    """IAM as the root user."""
    client: IAMClient = aws_client("iam")
    return client


@pytest.fixture(scope="session")
def s3(aws_client: ClientFactory) -> S3Client:
    """S3 as the root user."""
    client: S3Client = aws_client("s3")
    return client


@pytest.fixture
def unique() -> str:
    """A name that no other test uses; fit for users, groups, policies and buckets."""
    return f"t-{secrets.token_hex(5)}"


@pytest.fixture
def bucket(s3: S3Client, local_aws: LocalAws, unique: str) -> str:
    """A new, empty bucket."""
    name = f"{unique}-bucket"
    s3.create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": local_aws.region},  # type: ignore[typeddict-item]  # a plain str, not the Literal of all regions
    )
    return name
