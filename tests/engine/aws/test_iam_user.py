"""`aws.iam.User` against the local AWS."""

import pytest
from types_boto3_iam import IAMClient

from engine.provider import ProviderError
from tests.engine.aws.driver import Driver, policy

USER = "aws:iam/user:User"


def test_life(driver: Driver, iam: IAMClient, unique: str) -> None:
    """SP-19: made, changed and deleted in place, every step as AWS tells it."""
    user = driver.make(USER, name=unique, path="/clients/", tags={"client": "ABC LLC"})
    assert user.id == unique
    assert user.outputs["arn"].endswith(f":user/clients/{unique}")
    assert user.outputs["tagsAll"] == {"client": "ABC LLC"}
    assert user.outputs["uniqueId"].startswith("AIDA")
    user.assert_settled()
    user.update({"name": unique, "path": "/clients/", "tags": {"client": "ABC", "n": "1"}})
    user.update({"name": unique, "path": "/clients/", "tags": {"n": "1"}})
    assert iam.list_user_tags(UserName=unique)["Tags"] == [{"Key": "n", "Value": "1"}]
    user.assert_settled()
    user.assert_deleted()


def test_boundary_is_set_changed_and_taken_away(
    driver: Driver, iam: IAMClient, unique: str
) -> None:
    arns = [
        iam.create_policy(PolicyName=f"{unique}-{n}", PolicyDocument=policy("s3:*"))["Policy"][
            "Arn"
        ]
        for n in range(2)
    ]
    user = driver.make(USER, name=unique, permissionsBoundary=arns[0])
    user.assert_settled()
    user.update({"name": unique, "permissionsBoundary": arns[1]})
    user.assert_settled()
    assert user.outputs["permissionsBoundary"] == arns[1]
    user.update({"name": unique})
    assert "PermissionsBoundary" not in iam.get_user(UserName=unique)["User"]
    user.assert_settled()


def test_drift_of_tags_and_boundary_is_seen_and_mended(
    driver: Driver, iam: IAMClient, unique: str
) -> None:
    arn = iam.create_policy(PolicyName=unique, PolicyDocument=policy("s3:*"))["Policy"]["Arn"]
    news = {"name": unique, "tags": {"a": "1"}, "permissionsBoundary": arn}
    user = driver.make(USER, **news)
    iam.tag_user(UserName=unique, Tags=[{"Key": "by-hand", "Value": "1"}])
    iam.delete_user_permissions_boundary(UserName=unique)
    assert user.refresh()
    assert user.outputs["tags"] == {"a": "1", "by-hand": "1"}
    assert set(user.diff(news).diffs) == {"permissionsBoundary", "tags"}
    user.update(news)
    actual = iam.get_user(UserName=unique)["User"]
    assert actual["Tags"] == [{"Key": "a", "Value": "1"}]
    assert actual["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn


def test_a_taken_name_is_refused_in_plain_words(
    driver: Driver, iam: IAMClient, unique: str
) -> None:
    iam.create_user(UserName=unique)
    with pytest.raises(ProviderError, match=r"User it: AWS refused CreateUser") as caught:
        driver.make(USER, name=unique)
    assert caught.value.code == "EntityAlreadyExists"
    assert "does not belong to this stack" in caught.value.message
    assert not caught.value.retryable


def test_force_destroy_takes_all_that_was_added_by_hand(
    driver: Driver, iam: IAMClient, unique: str
) -> None:
    user = driver.make(USER, name=unique, forceDestroy=True)
    arn = iam.create_policy(PolicyName=unique, PolicyDocument=policy("s3:*"))["Policy"]["Arn"]
    for _ in range(2):
        iam.create_access_key(UserName=unique)
    iam.create_login_profile(UserName=unique, Password="correct horse battery 1!")
    iam.put_user_policy(UserName=unique, PolicyName="extra", PolicyDocument=policy("s3:*"))
    iam.attach_user_policy(UserName=unique, PolicyArn=arn)
    iam.create_group(GroupName=unique)
    iam.add_user_to_group(GroupName=unique, UserName=unique)
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName=unique)["VirtualMFADevice"][
        "SerialNumber"
    ]
    iam.enable_mfa_device(
        UserName=unique,
        SerialNumber=serial,
        AuthenticationCode1="123456",
        AuthenticationCode2="654321",
    )
    user.assert_deleted()
    # The next user of that name starts with nothing.
    driver.make(USER, name=unique)
    assert iam.list_access_keys(UserName=unique)["AccessKeyMetadata"] == []
    assert iam.list_user_policies(UserName=unique)["PolicyNames"] == []
    assert iam.list_attached_user_policies(UserName=unique)["AttachedPolicies"] == []
    assert iam.list_groups_for_user(UserName=unique)["Groups"] == []
    assert iam.list_mfa_devices(UserName=unique)["MFADevices"] == []
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_login_profile(UserName=unique)


def test_without_force_destroy_a_user_with_a_key_stays(
    driver: Driver, iam: IAMClient, unique: str
) -> None:
    user = driver.make(USER, name=unique)
    iam.create_access_key(UserName=unique)
    with pytest.raises(ProviderError, match="still attached") as caught:
        user.delete()
    assert caught.value.code == "DeleteConflict"


def test_import_finds_what_a_program_would_say(driver: Driver, iam: IAMClient, unique: str) -> None:
    iam.create_user(UserName=unique, Tags=[{"Key": "a", "Value": "1"}])
    user = driver.adopt(USER, unique)
    assert user.inputs == {"name": unique, "path": "/", "tags": {"a": "1"}}
    assert not user.diff({"name": unique, "tags": {"a": "1"}}).changes


def test_rename_is_an_update_which_the_stand_in_lacks(driver: Driver, unique: str) -> None:
    """As with the official provider; UpdateUser is not in the local AWS, which says so."""
    user = driver.make(USER, name=unique)
    assert not user.diff({"name": f"{unique}-new"}).replaces
    with pytest.raises(ProviderError) as caught:
        user.update({"name": f"{unique}-new"})
    assert caught.value.code == "InvalidAction"


def test_generated_name_stays(driver: Driver) -> None:
    user = driver.make(USER, "uploader")
    assert user.id.startswith("uploader-")
    assert not user.diff({}).changes
    user.assert_deleted()


@pytest.mark.parametrize(
    ("news", "named"),
    [
        ({"name": "ABC LLC"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "x/y"}, "name"),
        ({"name": "ñ"}, "name"),
        ({"path": "clients/"}, "path"),
        ({"permissionsBoundary": "not-an-arn"}, "permissionsBoundary"),
        ({"tags": {"aws:x": "1"}}, "tags"),
        ({"tags": {"name": "Peña & Co"}}, "tags"),
        ({"tags": {"k": "v" * 257}}, "tags"),
        ({"tags": {str(n): "" for n in range(51)}}, "tags"),
        ({"forceDestroy": "yes"}, "forceDestroy"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_aws_would_not_take_is_named(
    driver: Driver, news: dict[str, object], named: str
) -> None:
    assert list(driver.failures(USER, **news)) == [named]
