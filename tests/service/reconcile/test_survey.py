"""The survey: silent where AWS and records agree, and each way of disagreeing told once.

Each test spoils one thing in a real AWS, behind the service's back.
"""

import json
from pathlib import Path

import pytest

from service.reconcile import FindingKind, survey
from stacks.client import TAG_CLIENT
from tests.service.house import House


def kinds(home: House) -> set[tuple[str, FindingKind]]:
    return {(found.slug, found.kind) for found in survey(home.services, pause=0)}


def test_agreement_is_silent(lived: House) -> None:
    assert survey(lived.services, pause=0) == []


def leave_a_key(home: House) -> str:
    key: str = home.iam.create_access_key(UserName="ABC-LLC")["AccessKey"]["AccessKeyId"]
    return key


def test_a_key_that_no_record_knows_is_told(lived: House) -> None:
    key = leave_a_key(lived)
    try:
        [found] = survey(lived.services, pause=0)
        assert (found.kind, found.subject) == (FindingKind.key_unknown, key)
    finally:
        lived.iam.delete_access_key(UserName="ABC-LLC", AccessKeyId=key)


def test_a_key_that_somebody_switched_off_is_told(lived: House) -> None:
    [row] = lived.keys("ABC-LLC")
    change = {"UserName": "ABC-LLC", "AccessKeyId": row.access_key_id}
    lived.iam.update_access_key(**change, Status="Inactive")
    try:
        [found] = survey(lived.services, pause=0)
        assert (found.kind, found.subject) == (FindingKind.key_not_on, row.access_key_id)
    finally:
        lived.iam.update_access_key(**change, Status="Active")


def test_a_policy_added_by_hand_and_a_changed_one_are_told(lived: House) -> None:
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    wide = json.dumps({"Version": "2012-10-17", "Statement": [anything]})
    name = "ABC-LLC_s3_access"
    before = lived.iam.get_user_policy(UserName="ABC-LLC", PolicyName=name)["PolicyDocument"]
    lived.iam.put_user_policy(UserName="ABC-LLC", PolicyName="wide", PolicyDocument=wide)
    lived.iam.put_user_policy(UserName="ABC-LLC", PolicyName=name, PolicyDocument=wide)
    try:
        assert kinds(lived) == {
            ("ABC-LLC", FindingKind.policy_foreign),
            ("ABC-LLC", FindingKind.policy_differs),
        }
    finally:
        lived.iam.delete_user_policy(UserName="ABC-LLC", PolicyName="wide")
        content = json.dumps(before)
        lived.iam.put_user_policy(UserName="ABC-LLC", PolicyName=name, PolicyDocument=content)


def test_a_user_out_of_its_group_or_without_its_boundary_is_told(lived: House) -> None:
    """RX-22: without the group session tokens outlive their key."""
    boundary = lived.iam.get_user(UserName="ABC-LLC")["User"]["PermissionsBoundary"]
    lived.iam.remove_user_from_group(GroupName="Clients", UserName="ABC-LLC")
    lived.iam.delete_user_permissions_boundary(UserName="ABC-LLC")
    try:
        assert kinds(lived) == {
            ("ABC-LLC", FindingKind.group_differs),
            ("ABC-LLC", FindingKind.boundary_differs),
        }
    finally:
        lived.iam.add_user_to_group(GroupName="Clients", UserName="ABC-LLC")
        arn = boundary["PermissionsBoundaryArn"]
        lived.iam.put_user_permissions_boundary(UserName="ABC-LLC", PermissionsBoundary=arn)


def test_what_a_closed_client_left_is_told(lived: House) -> None:
    tags = [{"Key": TAG_CLIENT, "Value": lived.client("Closed-LLC").id}]
    bucket, key = lived.services.settings.bucket, "Closed-LLC/images/"
    lived.iam.create_user(UserName="Closed-LLC", Tags=tags)
    lived.s3.put_object(Bucket=bucket, Key=key)
    try:
        assert kinds(lived) == {
            ("Closed-LLC", FindingKind.user_left),
            ("Closed-LLC", FindingKind.placeholder_left),
        }
        # What the client itself has put there is the client's.
        lived.s3.put_object(Bucket=bucket, Key=key, Body=b"of the client")
        assert kinds(lived) == {("Closed-LLC", FindingKind.user_left)}
    finally:
        lived.iam.delete_user(UserName="Closed-LLC")
        lived.s3.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("ours", [True, False])
def test_a_user_without_a_client_is_told_and_touched_only_if_ours(lived: House, ours: bool) -> None:
    """A user with our tag and another boundary belongs to another installation: no remedy."""
    boundary = lived.iam.get_user(UserName="ABC-LLC")["User"]["PermissionsBoundary"]
    options = {"PermissionsBoundary": boundary["PermissionsBoundaryArn"]} if ours else {}
    tags = [{"Key": TAG_CLIENT, "Value": "f" * 32}]
    lived.iam.create_user(UserName="Stray", Tags=tags, **options)
    try:
        [found] = survey(lived.services, pause=0)
        assert found.kind is FindingKind.user_without_client
        assert found.remedy == ("remove" if ours else "none")
    finally:
        lived.iam.delete_user(UserName="Stray")


def test_users_without_our_tag_are_nobodys_business(lived: House) -> None:
    lived.iam.create_user(UserName="Somebody")
    try:
        assert survey(lived.services, pause=0) == []
    finally:
        lived.iam.delete_user(UserName="Somebody")


def test_a_missing_placeholder_and_a_missing_stack_are_told(lived: House) -> None:
    bucket, key = lived.services.settings.bucket, "Other-LLC/images/"
    state = Path(lived.services.settings.state_url.removeprefix("file://"))
    file = state / ".pulumi" / "stacks" / "handover-clients" / "Other-LLC.json"
    lived.s3.delete_object(Bucket=bucket, Key=key)
    file.rename(file.with_name("Unknown-LLC.json"))
    try:
        assert kinds(lived) == {
            ("Other-LLC", FindingKind.placeholder_missing),
            ("Other-LLC", FindingKind.stack_missing),
            ("Unknown-LLC", FindingKind.stack_without_client),
        }
    finally:
        file.with_name("Unknown-LLC.json").rename(file)
        lived.s3.put_object(Bucket=bucket, Key=key)
        assert survey(lived.services, pause=0) == []


def test_a_user_that_is_gone_or_somebody_elses_is_told(lived: House) -> None:
    home = lived
    home.open("Gone-LLC")
    [row] = home.keys("Gone-LLC")
    home.iam.delete_access_key(UserName="Gone-LLC", AccessKeyId=row.access_key_id)
    assert kinds(home) == {("Gone-LLC", FindingKind.key_missing)}
    home.iam.untag_user(UserName="Gone-LLC", TagKeys=[TAG_CLIENT])
    assert kinds(home) == {("Gone-LLC", FindingKind.user_not_ours)}
    home.iam.delete_user_policy(UserName="Gone-LLC", PolicyName="Gone-LLC_s3_access")
    home.iam.remove_user_from_group(GroupName="Clients", UserName="Gone-LLC")
    home.iam.delete_user(UserName="Gone-LLC")
    assert kinds(home) == {("Gone-LLC", FindingKind.user_missing)}
    home.close("Gone-LLC")
    assert survey(home.services, pause=0) == []
