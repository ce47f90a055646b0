"""The provider while AWS misbehaves: what is tried again, what never is, and how it is told."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.aws import AwsProvider, aws_provider
from engine.aws.clients import ANSWER_VARIABLE, SETTLE_VARIABLE
from engine.localaws import LocalAws
from engine.provider import ProviderError
from tests.faults.faults import DENIED, INTERNAL_FAILURE, LOST_ANSWER, THROTTLED, Fault, Silent
from tests.faults.proxy import FaultProxy

USER, KEY = "aws:iam/user:User", "aws:iam/accessKey:AccessKey"
MEMBERSHIP = "aws:iam/userGroupMembership:UserGroupMembership"
SETTLE, ANSWER = 30.0, 10.0
"""Seconds; long enough for a machine that is kept busy, where nothing waits for them to end."""


@pytest.fixture
def proxy(local_aws: LocalAws) -> Iterator[FaultProxy]:
    with FaultProxy(local_aws) as running:
        yield running


@pytest.fixture
def provider(proxy: FaultProxy) -> AwsProvider:
    """The provider behind the proxy."""
    return provider_behind(proxy)


def provider_behind(proxy: FaultProxy, answer: float = ANSWER) -> AwsProvider:
    """A provider that waits so many seconds for an answer."""
    patience = {SETTLE_VARIABLE: str(SETTLE), ANSWER_VARIABLE: str(answer)}
    return aws_provider(proxy.environment(**patience), {})


def create(provider: AwsProvider, type_: str, **inputs: Any) -> tuple[str, dict[str, Any]]:
    """Make a resource of checked inputs."""
    urn = f"urn:pulumi:s::p::{type_}::it"
    checked, failures = provider.check(type_, inputs, {}, urn=urn)
    assert failures == []
    return provider.create(type_, checked, urn=urn, timeout=None)


def keys_of(iam: Any, user: str) -> list[str]:
    return [k["AccessKeyId"] for k in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]]


def test_a_throttled_key_is_asked_for_again(
    provider: AwsProvider, proxy: FaultProxy, iam: Any, unique: str
) -> None:
    """Throttled means that surely none was made."""
    create(provider, USER, name=unique)
    rule = proxy.inject("CreateAccessKey", THROTTLED, times=2)
    id_, _ = create(provider, KEY, user=unique)
    assert (rule.hits, keys_of(iam, unique)) == (2, [id_])


@pytest.mark.parametrize(
    ("fault", "made"), [(INTERNAL_FAILURE, 0), (LOST_ANSWER, 1), (Silent(), 0)]
)
def test_a_key_is_never_asked_for_twice_when_nobody_knows_whether_it_was_made(
    provider: AwsProvider, proxy: FaultProxy, iam: Any, unique: str, fault: Fault, made: int
) -> None:
    """The outcome is told as unknown, and recovery decides."""
    create(provider, USER, name=unique)
    rule = proxy.inject("CreateAccessKey", fault)
    asking = provider_behind(proxy, 1.0) if fault == Silent() else provider
    with pytest.raises(ProviderError) as caught:
        create(asking, KEY, user=unique)
    assert caught.value.retryable
    assert caught.value.code in ("InternalFailure", "AwsUnreachable")
    assert (rule.hits, len(keys_of(iam, unique))) == (1, made)


def test_a_collision_may_be_our_own_only_after_a_retry(
    provider: AwsProvider, proxy: FaultProxy, iam: Any, unique: str
) -> None:
    """After a lost answer the outcome is unknown; else the name is somebody's."""
    proxy.inject("CreateUser", LOST_ANSWER, times=1)
    with pytest.raises(ProviderError, match="EntityAlreadyExists") as own:
        create(provider, USER, name=unique)
    with pytest.raises(ProviderError, match="EntityAlreadyExists") as other:
        create(provider, USER, name=unique)
    assert (own.value.retryable, other.value.retryable) == (True, False)


def test_a_new_user_is_waited_for_and_a_missing_group_is_not(
    provider: AwsProvider, proxy: FaultProxy, unique: str
) -> None:
    proxy.consistency.unknown = 0.5
    create(provider, USER, name=unique)
    create(provider, KEY, user=unique, status="Inactive")
    with pytest.raises(ProviderError, match="NoSuchEntity"):
        create(provider, MEMBERSHIP, user=unique, groups=[f"{unique}-none"])
    assert proxy.calls.count("AddUserToGroup") == 1


def test_a_user_deleted_before_iam_knows_it_is_deleted(
    provider: AwsProvider, proxy: FaultProxy, iam: Any, unique: str
) -> None:
    """IAM's "not there" proves nothing about a user made a moment ago."""
    proxy.consistency.unknown = proxy.consistency.lingering = 0.5
    id_, outputs = create(provider, USER, name=unique, forceDestroy=True)
    create(provider, KEY, user=unique)
    provider.delete(USER, id_, {}, outputs, timeout=None)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=unique)
    assert keys_of_anybody(iam, unique) == []


def keys_of_anybody(iam: Any, user: str) -> list[str]:
    """The user's keys, though the user be gone: the local AWS would hand them to the next one."""
    iam.create_user(UserName=user)
    found = keys_of(iam, user)
    iam.delete_user(UserName=user)
    return found


def test_permanent_refusals_are_told_at_once(
    provider: AwsProvider, proxy: FaultProxy, unique: str
) -> None:
    rule = proxy.inject("CreateUser", DENIED)
    with pytest.raises(ProviderError) as caught:
        create(provider, USER, name=unique)
    assert (caught.value.code, caught.value.retryable, rule.hits) == ("AccessDenied", False, 1)
