"""Mending: what was spoiled in AWS is put right, always towards less access, and told in the audit.

Each test spoils something in a real AWS, mends, and wants the survey to find nothing after it.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlmodel import select

from models.access_keys import AccessKeyStatus
from models.audit import AuditEvent
from models.clients import ClientState
from models.database import transaction
from service.accounts import ensure_operator
from service.reconcile import Finding, FindingKind, Mended, TooMuchToRemove, mend, survey
from service.wishes import Requester
from stacks.client import TAG_CLIENT
from stacks.policies import SUSPENSION_POLICY, compact, suspension_denial
from tests.service.house import House

WIDE = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)


def requester(home: House) -> Requester:
    with transaction(home.services.database) as session:
        return Requester(ensure_operator(session).id)


def put_right(home: House, *, most: int = 10) -> list[Mended]:
    """Mend what the survey finds, let operations end, and want agreement."""
    found = survey(home.services, pause=0)
    done = mend(home.services, found, requester(home), remove_at_most=most)
    home.settle()
    assert survey(home.services, pause=0) == []
    return done


def outcomes(done: list[Mended]) -> set[tuple[str, FindingKind, bool]]:
    return {(each.finding.slug, each.finding.kind, each.done) for each in done}


def user_exists(home: House, name: str) -> bool:
    try:
        home.iam.get_user(UserName=name)
    except ClientError:
        return False
    return True


def stray(home: House, name: str, *, ours: bool = True) -> None:
    """Make a user with our tag that the records do not know."""
    boundary = home.iam.get_user(UserName="ABC-LLC")["User"]["PermissionsBoundary"]
    options: dict[str, Any] = (
        {"PermissionsBoundary": boundary["PermissionsBoundaryArn"]} if ours else {}
    )
    home.iam.create_user(UserName=name, Tags=[{"Key": TAG_CLIENT, "Value": "e" * 32}], **options)
    home.iam.create_access_key(UserName=name)
    home.iam.put_user_policy(UserName=name, PolicyName="any", PolicyDocument=WIDE)


def test_a_key_and_a_policy_that_are_not_ours_are_taken_away(lived: House) -> None:
    """The client's own key goes on working."""
    [row] = lived.keys("ABC-LLC")
    lived.iam.create_access_key(UserName="ABC-LLC")
    lived.iam.put_user_policy(UserName="ABC-LLC", PolicyName="wide", PolicyDocument=WIDE)
    done = put_right(lived)
    assert outcomes(done) == {
        ("ABC-LLC", FindingKind.key_unknown, True),
        ("ABC-LLC", FindingKind.policy_foreign, True),
    }
    [key] = lived.iam.list_access_keys(UserName="ABC-LLC")["AccessKeyMetadata"]
    assert (key["AccessKeyId"], key["Status"]) == (row.access_key_id, "Active")
    with transaction(lived.services.database, write=False) as session:
        events = session.exec(
            select(AuditEvent).where(AuditEvent.action == "reconciliation.mended")
        ).all()
    assert {event.data["finding"] for event in events} == {"key_unknown", "policy_foreign"}


def test_drift_is_repaired_with_the_same_key(lived: House) -> None:
    [row] = lived.keys("ABC-LLC")
    lived.iam.put_user_policy(
        UserName="ABC-LLC", PolicyName="ABC-LLC_s3_access", PolicyDocument=WIDE
    )
    lived.iam.remove_user_from_group(GroupName="Clients", UserName="ABC-LLC")
    bucket = lived.services.settings.bucket
    lived.s3.delete_object(Bucket=bucket, Key="ABC-LLC/images/")
    done = put_right(lived)
    assert {each.operation_id for each in done if each.done} - {None}
    assert len({each.operation_id for each in done}) == 1, "one repair puts all of it right"
    assert [key.access_key_id for key in lived.keys("ABC-LLC")] == [row.access_key_id]


def test_a_key_that_aws_lost_is_replaced_by_the_next_generation(lived: House) -> None:
    [row] = lived.keys("Other-LLC")
    lived.iam.delete_access_key(UserName="Other-LLC", AccessKeyId=row.access_key_id)
    put_right(lived)
    old, new = lived.keys("Other-LLC")
    assert (old.status, new.status) == (AccessKeyStatus.deleted, AccessKeyStatus.active)
    assert new.generation == 2


def test_a_key_switched_off_by_hand_stays_off(lived: House) -> None:
    """Less access, never more: the records follow, and a rotation gives the client a new key."""
    lived.open("Off-LLC")
    [row] = lived.keys("Off-LLC")
    change = {"UserName": "Off-LLC", "AccessKeyId": row.access_key_id}
    lived.iam.update_access_key(**change, Status="Inactive")
    put_right(lived)
    [key] = lived.iam.list_access_keys(UserName="Off-LLC")["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"
    assert lived.keys("Off-LLC")[0].status is AccessKeyStatus.inactive


def test_a_cut_that_no_record_knows_becomes_a_suspension(lived: House) -> None:
    """What `handover key off` does while the database is down."""
    lived.open("Cut-LLC")
    denial = compact(suspension_denial())
    lived.iam.put_user_policy(
        UserName="Cut-LLC", PolicyName=SUSPENSION_POLICY, PolicyDocument=denial
    )
    done = put_right(lived)
    assert outcomes(done) == {("Cut-LLC", FindingKind.suspension_unrecorded, True)}
    assert lived.client("Cut-LLC").state is ClientState.suspended
    [key] = lived.iam.list_access_keys(UserName="Cut-LLC")["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"

    lived.iam.update_access_key(UserName="Cut-LLC", AccessKeyId=key["AccessKeyId"], Status="Active")
    lived.iam.delete_user_policy(UserName="Cut-LLC", PolicyName=SUSPENSION_POLICY)
    assert {found.kind for found in survey(lived.services, pause=0)} == {
        FindingKind.key_not_off,
        FindingKind.suspension_missing,
    }
    put_right(lived)


def test_what_a_closed_client_left_is_taken_away(lived: House) -> None:
    tags = [{"Key": TAG_CLIENT, "Value": lived.client("Closed-LLC").id}]
    bucket = lived.services.settings.bucket
    lived.iam.create_user(UserName="Closed-LLC", Tags=tags)
    lived.iam.create_access_key(UserName="Closed-LLC")
    lived.s3.put_object(Bucket=bucket, Key="Closed-LLC/images/")
    lived.s3.put_object(Bucket=bucket, Key="Closed-LLC/images/1.png", Body=b"of the client")
    put_right(lived)
    assert not user_exists(lived, "Closed-LLC")
    listed = lived.s3.list_objects_v2(Bucket=bucket, Prefix="Closed-LLC/")["Contents"]
    assert [item["Key"] for item in listed] == ["Closed-LLC/images/1.png"]


def test_a_client_whose_user_is_gone_is_closed_not_given_new_access(lived: House) -> None:
    """It may have been closed after the backup that was restored."""
    lived.open("Lost-LLC")
    [row] = lived.keys("Lost-LLC")
    lived.iam.delete_access_key(UserName="Lost-LLC", AccessKeyId=row.access_key_id)
    lived.iam.delete_user_policy(UserName="Lost-LLC", PolicyName="Lost-LLC_s3_access")
    lived.iam.remove_user_from_group(GroupName="Clients", UserName="Lost-LLC")
    lived.iam.delete_user(UserName="Lost-LLC")
    put_right(lived)
    assert lived.client("Lost-LLC").state is ClientState.closed


def test_a_user_without_a_client_is_taken_away_only_if_it_is_ours(lived: House) -> None:
    """What carries another installation's boundary, or no tag of ours, is not touched."""
    stray(lived, "Stray")
    stray(lived, "Foreign", ours=False)
    lived.iam.create_user(UserName="Somebody")
    found = survey(lived.services, pause=0)
    done = mend(lived.services, found, requester(lived))
    assert outcomes(done) == {
        ("Stray", FindingKind.user_without_client, True),
        ("Foreign", FindingKind.user_without_client, False),
    }
    assert not user_exists(lived, "Stray")
    assert user_exists(lived, "Somebody")
    assert len(lived.iam.list_access_keys(UserName="Foreign")["AccessKeyMetadata"]) == 1
    for key in lived.iam.list_access_keys(UserName="Foreign")["AccessKeyMetadata"]:
        lived.iam.delete_access_key(UserName="Foreign", AccessKeyId=key["AccessKeyId"])
    lived.iam.delete_user_policy(UserName="Foreign", PolicyName="any")
    lived.iam.delete_user(UserName="Foreign")
    lived.iam.delete_user(UserName="Somebody")


def test_the_wrong_database_takes_nothing_away(lived: House) -> None:
    """An empty database beside a full AWS looks as if every area were a stray's."""
    found = [
        Finding(f"Client-{n}", FindingKind.user_without_client, "is not known", remedy="remove")  # type: ignore[arg-type]
        for n in range(11)
    ]
    with pytest.raises(TooMuchToRemove, match="right database"):
        mend(lived.services, found, requester(lived))
