"""Groups, inline policies and managed policies against the local AWS."""

import json

import pytest
from types_boto3_iam import IAMClient

from engine.provider import ProviderError
from tests.engine.aws.driver import Driver, policy

GROUP = "aws:iam/group:Group"
GROUP_POLICY = "aws:iam/groupPolicy:GroupPolicy"
USER_POLICY = "aws:iam/userPolicy:UserPolicy"
POLICY = "aws:iam/policy:Policy"


def test_group_life(driver: Driver, iam: IAMClient, unique: str) -> None:
    group = driver.make(GROUP, name=unique, path="/handover/")
    assert group.outputs["arn"].endswith(f":group/handover/{unique}")
    group.assert_settled()
    iam.create_user(UserName=unique)
    iam.add_user_to_group(GroupName=unique, UserName=unique)
    with pytest.raises(ProviderError, match="still has members"):
        group.delete()
    iam.remove_user_from_group(GroupName=unique, UserName=unique)
    group.assert_deleted()


def test_group_import(driver: Driver, iam: IAMClient, unique: str) -> None:
    iam.create_group(GroupName=unique)
    group = driver.adopt(GROUP, unique)
    assert not group.diff({"name": unique}).changes
    assert group.diff({"name": unique, "path": "/x/"}).diffs == ("path",)


@pytest.mark.parametrize(("type_", "owner"), [(USER_POLICY, "user"), (GROUP_POLICY, "group")])
def test_inline_policy_life(
    driver: Driver, iam: IAMClient, unique: str, type_: str, owner: str
) -> None:
    """SP-25: under the name given, compared by meaning, drift seen and mended."""
    iam.create_user(UserName=unique)
    iam.create_group(GroupName=unique)
    name = "ABC-LLC_s3_access"
    news = {owner: unique, "name": name, "policy": policy("s3:GetObject", "s3:PutObject")}
    made = driver.make(type_, **news)
    assert made.id == f"{unique}:{name}"
    made.assert_settled()
    reworded = json.dumps(json.loads(news["policy"]), indent=4)
    assert not made.diff({**news, "policy": reworded}).changes
    news["policy"] = policy("s3:GetObject")
    made.update(news)
    made.assert_settled()
    if owner == "user":
        iam.put_user_policy(UserName=unique, PolicyName=name, PolicyDocument=policy("s3:*"))
    else:
        iam.put_group_policy(GroupName=unique, PolicyName=name, PolicyDocument=policy("s3:*"))
    assert made.refresh()
    assert "s3:*" in made.outputs["policy"]
    assert made.diff(news).diffs == ("policy",)
    made.update(news)
    made.assert_settled()
    assert driver.adopt(type_, made.id).diff(news).changes is False
    made.assert_deleted()


def test_inline_policy_replacement(driver: Driver, iam: IAMClient, unique: str) -> None:
    iam.create_user(UserName=unique)
    news = {"user": unique, "name": "a", "policy": policy("s3:*")}
    made = driver.make(USER_POLICY, **news)
    assert made.diff({**news, "name": "b"}).replaces == ("name",)
    assert not made.diff({**news, "name": "b"}).delete_before_replace
    iam.delete_user_policy(UserName=unique, PolicyName="a")
    iam.delete_user(UserName=unique)
    assert not made.refresh()
    made.delete()


def test_policy_given_as_a_map_is_recorded_as_text(driver: Driver) -> None:
    document = json.loads(policy("s3:*"))
    inputs, failures = driver.provider.check(
        USER_POLICY, {"user": "u", "policy": document}, {}, urn="urn:pulumi:s::p::t::n"
    )
    assert not failures
    assert json.loads(inputs["policy"]) == document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "at least one Statement"),
        ('{"Version": "2012-10-17"}', "at least one Statement"),
        ('{"Statement": "Ω"}', "up to U+00FF"),
        (policy("s3:" + "x" * 2048), "AWS takes 2048"),
    ],
)
def test_a_policy_that_aws_would_not_take_is_named(
    driver: Driver, document: str, reason: str
) -> None:
    failures = driver.failures(USER_POLICY, user="u", name="n", policy=document)
    assert list(failures) == ["policy"]
    assert reason in failures["policy"]


def test_managed_policy_life(driver: Driver, iam: IAMClient, unique: str) -> None:
    """The boundary's document changes in place, past IAM's five versions."""
    news = {"name": unique, "path": "/handover/", "policy": policy("s3:0"), "tags": {"a": "1"}}
    made = driver.make(POLICY, **news)
    assert made.id == made.outputs["arn"]
    made.assert_settled()
    for number in range(1, 8):
        news["policy"] = policy(f"s3:{number}")
        made.update(news)
    made.assert_settled()
    assert len(iam.list_policy_versions(PolicyArn=made.id)["Versions"]) == 5
    made.update({**news, "tags": {"b": "2"}})
    made.assert_settled()
    assert made.diff({**news, "description": "other"}).replaces == ("description",)
    assert made.diff({**news, "description": "other"}).delete_before_replace
    made.assert_deleted()


def test_managed_policy_drift_and_conflict(driver: Driver, iam: IAMClient, unique: str) -> None:
    news = {"name": unique, "policy": policy("s3:GetObject")}
    made = driver.make(POLICY, **news)
    iam.create_policy_version(PolicyArn=made.id, PolicyDocument=policy("*"), SetAsDefault=True)
    assert made.refresh()
    made.update(news)
    made.assert_settled()
    assert not driver.adopt(POLICY, made.id).diff(news).changes
    iam.create_user(UserName=unique)
    iam.attach_user_policy(UserName=unique, PolicyArn=made.id)
    with pytest.raises(ProviderError) as caught:
        made.delete()
    assert caught.value.code == "DeleteConflict"
    iam.detach_user_policy(UserName=unique, PolicyArn=made.id)
    made.assert_deleted()
