"""`aws.iam.UserGroupMembership` and `aws.iam.AccessKey` against the local AWS."""

import pytest
from botocore.exceptions import ClientError
from types_boto3_iam import IAMClient

from engine.aws import aws_provider
from engine.aws.iam_access_key import smtp_password
from engine.localaws import LocalAws
from engine.provider import ProviderError
from tests.engine.aws.driver import Driver, policy
from tests.localaws import ClientFactory

MEMBERSHIP = "aws:iam/userGroupMembership:UserGroupMembership"
KEY = "aws:iam/accessKey:AccessKey"


@pytest.fixture
def user(iam: IAMClient, unique: str) -> str:
    iam.create_user(UserName=unique)
    return unique


@pytest.fixture
def groups(iam: IAMClient, unique: str) -> list[str]:
    names = [f"{unique}-{letter}" for letter in "abc"]
    for name in names:
        iam.create_group(GroupName=name)
    return names


def groups_of(iam: IAMClient, user: str) -> set[str]:
    return {group["GroupName"] for group in iam.list_groups_for_user(UserName=user)["Groups"]}


def test_membership_life(driver: Driver, iam: IAMClient, user: str, groups: list[str]) -> None:
    """SP-20."""
    one, two, by_hand = groups
    membership = driver.make(MEMBERSHIP, user=user, groups=[one])
    assert membership.id.startswith("terraform-")
    assert groups_of(iam, user) == {one}
    membership.assert_settled()
    membership.update({"user": user, "groups": [two]})
    assert groups_of(iam, user) == {two}
    iam.add_user_to_group(UserName=user, GroupName=by_hand)
    membership.assert_settled()
    membership.delete()
    assert groups_of(iam, user) == {by_hand}


def test_membership_drift(driver: Driver, iam: IAMClient, user: str, groups: list[str]) -> None:
    news = {"user": user, "groups": groups[:2]}
    membership = driver.make(MEMBERSHIP, **news)
    assert not membership.diff({"user": user, "groups": groups[1::-1]}).changes
    iam.remove_user_from_group(UserName=user, GroupName=groups[0])
    assert membership.refresh()
    membership.update(news)
    assert groups_of(iam, user) == set(groups[:2])
    for group in groups[:2]:
        iam.remove_user_from_group(UserName=user, GroupName=group)
    iam.delete_user(UserName=user)
    assert not membership.refresh()
    membership.delete()


def test_membership_import_and_replacement(
    driver: Driver, iam: IAMClient, user: str, groups: list[str]
) -> None:
    iam.add_user_to_group(UserName=user, GroupName=groups[0])
    membership = driver.adopt(MEMBERSHIP, f"{user}/{groups[0]}")
    assert not membership.diff({"user": user, "groups": [groups[0]]}).changes
    assert membership.diff({"user": "other", "groups": [groups[0]]}).replaces == ("user",)


def test_membership_half_made_is_told(driver: Driver, user: str, groups: list[str]) -> None:
    with pytest.raises(ProviderError) as caught:
        driver.make(MEMBERSHIP, user=user, groups=[groups[0], "no-such-group"])
    assert caught.value.code == "NoSuchEntity"
    assert caught.value.partial
    assert caught.value.partial[1]["groups"] == [groups[0]]


def test_key_life(driver: Driver, iam: IAMClient, aws_client: ClientFactory, user: str) -> None:
    """SP-21: the key works, is switched off in place, and is gone when deleted (RX-22)."""
    key = driver.make(KEY, user=user)
    assert driver.provider.secret_outputs(KEY) == {"secret", "sesSmtpPasswordV4"}
    sts = aws_client("sts", key=key.id, secret=key.outputs["secret"])
    assert sts.get_caller_identity()["Arn"].endswith(f":user/{user}")
    key.assert_settled()
    key.update({"user": user, "status": "Inactive"})
    assert key.outputs["secret"]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        sts.get_caller_identity()
    key.assert_settled()
    key.assert_deleted()
    assert iam.list_access_keys(UserName=user)["AccessKeyMetadata"] == []


def test_key_made_inactive(driver: Driver, iam: IAMClient, user: str) -> None:
    driver.make(KEY, user=user, status="Inactive")
    keys = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert [key["Status"] for key in keys] == ["Inactive"]


def test_key_that_could_not_be_made_inactive_is_told(
    local_aws: LocalAws, iam: IAMClient, user: str
) -> None:
    """The key exists and is active: the engine must know it, secret and all."""
    iam.put_user_policy(
        UserName=user, PolicyName="make", PolicyDocument=policy("iam:CreateAccessKey")
    )
    own = iam.create_access_key(UserName=user)["AccessKey"]
    credentials = {
        "AWS_ACCESS_KEY_ID": own["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": own["SecretAccessKey"],
    }
    driver = Driver(aws_provider({**local_aws.environment(), **credentials}, {}))
    with pytest.raises(ProviderError, match="AWS refused UpdateAccessKey") as caught:
        driver.make(KEY, user=user, status="Inactive")
    assert caught.value.partial
    id_, outputs = caught.value.partial
    assert outputs["status"] == "Active"
    assert outputs["secret"] not in str(caught.value)
    listed = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert id_ in {key["AccessKeyId"] for key in listed}


def test_key_drift_and_replacement(driver: Driver, iam: IAMClient, user: str) -> None:
    key = driver.make(KEY, user=user)
    iam.update_access_key(UserName=user, AccessKeyId=key.id, Status="Inactive")
    assert key.refresh()
    assert key.outputs["status"] == key.inputs["status"] == "Inactive"
    assert key.diff({"user": user}).diffs == ("status",)
    diff = key.diff({"user": "other"})
    assert diff.replaces == ("user",)
    assert not diff.delete_before_replace
    iam.delete_access_key(UserName=user, AccessKeyId=key.id)
    assert not key.refresh()
    key.delete()


def test_key_import_knows_the_user_but_no_secret(driver: Driver, iam: IAMClient, user: str) -> None:
    made = iam.create_access_key(UserName=user)["AccessKey"]
    key = driver.adopt(KEY, made["AccessKeyId"])
    assert key.inputs == {"user": user, "status": "Active"}
    assert key.outputs["secret"] is None


def test_key_of_nobody_is_refused(driver: Driver, unique: str) -> None:
    with pytest.raises(ProviderError, match="AWS refused CreateAccessKey") as caught:
        driver.make(KEY, user=unique)
    assert caught.value.code == "NoSuchEntity"


def test_key_options_that_are_not_supported_are_named(driver: Driver) -> None:
    failures = driver.failures(KEY, user="u", pgpKey="keybase:x", status="Off")
    assert "official pulumi program" in failures["pgpKey"]
    assert failures["status"] == "must be one of Active, Inactive"
    assert driver.failures(KEY) == {"user": "is required"}


def test_smtp_password_is_amazons() -> None:
    """The algorithm of the SES developer guide, on its own steps: version byte, then HMAC."""
    password = smtp_password("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    assert len(password) == 44
    assert password.startswith("B")
    assert password != smtp_password("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "eu-west-1")


def test_a_client_needs_no_more_calls_than_bare_boto3(
    driver: Driver, bucket: str, unique: str, groups: list[str]
) -> None:
    """User, membership, policy, key and object: five calls, no read-backs."""
    calls: list[str] = []
    clients = driver.provider.clients
    watched = (clients.iam, clients.iam_once, clients.s3())

    def note(model: object, **_: object) -> None:
        calls.append(getattr(model, "name"))  # noqa: B009  # botocore's untyped model

    for client in watched:
        client.meta.events.register("before-call", note, unique_id=unique)
    driver.make("aws:s3/bucketObjectv2:BucketObjectv2", bucket=bucket, key="ABC-LLC/images/")
    driver.make("aws:iam/user:User", name=f"{unique}-client", tags={"client": "ABC-LLC"})
    name = f"{unique}-client"
    driver.make(MEMBERSHIP, user=name, groups=groups[:1])
    driver.make("aws:iam/userPolicy:UserPolicy", user=name, name="p", policy=policy("s3:Get*"))
    driver.make(KEY, user=name)
    for client in watched:
        client.meta.events.unregister("before-call", note, unique_id=unique)
    assert calls == [
        "PutObject",
        "CreateUser",
        "AddUserToGroup",
        "PutUserPolicy",
        "CreateAccessKey",
    ]
