"""The provider against the test process's own local AWS."""

import pytest

from engine.aws import AwsProvider, aws_provider
from engine.localaws import LocalAws
from tests.engine.aws.driver import Driver


@pytest.fixture(scope="session")
def provider(local_aws: LocalAws) -> AwsProvider:
    return aws_provider(local_aws.environment(), {})


@pytest.fixture
def driver(provider: AwsProvider) -> Driver:
    return Driver(provider)
