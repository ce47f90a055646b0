"""Areas on the real Automation API, the embedded engine and an AWS that enforces IAM."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stacks.access import KeyNotProven
from stacks.areas import Areas, IssuedKey
from stacks.client import AreaInputs, ClientProgram, KeyGeneration
from stacks.events import ResourceProgress
from stacks.failures import CollisionError, StackError
from tests.localaws import ClientFactory
from tests.stacks.conftest import BUCKET, GROUP, NewArea


def with_key(aws_client: ClientFactory, service: str, key: IssuedKey, **more: str) -> Any:
    return aws_client(service, key=key.access_key_id, secret=key.secret_access_key, **more)


def code_of(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_an_area_is_what_the_procedure_asks_for(
    areas: Areas, new_area: NewArea, iam: Any, s3: Any
) -> None:
    """SP-17, SP-19, SP-20, SP-21, SP-25: path, user, group, key, policy of that name."""
    area = new_area()
    opened = areas.open(area)
    assert s3.head_object(Bucket=BUCKET, Key=f"{area.slug}/images/")["ContentLength"] == 0
    user = iam.get_user(UserName=area.slug)["User"]
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == area.boundary_arn
    groups = iam.list_groups_for_user(UserName=area.slug)["Groups"]
    assert [group["GroupName"] for group in groups] == [GROUP]
    assert iam.list_user_policies(UserName=area.slug)["PolicyNames"] == [f"{area.slug}_s3_access"]
    [key] = iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
    assert (key["AccessKeyId"], key["Status"]) == (opened.keys[0].access_key_id, "Active")
    assert "secret" not in repr(opened).replace("access_key_secrets", "")
    assert opened.keys[0].secret_access_key not in repr(opened)


MATRIX = {
    # profile: (upload, download, set an ACL, upload with the owner's ACL)
    "sp-050-003": ("done", "done", "done", "done"),
    "hardened": ("done", "done", "AccessDenied", "done"),
    "read-only": ("AccessDenied", "done", "AccessDenied", "AccessDenied"),
    "write-only": ("done", "AccessDenied", "AccessDenied", "done"),
}


@pytest.mark.parametrize("profile", MATRIX)
def test_a_key_does_what_its_profile_says_and_nothing_else(
    profile: str, areas: Areas, new_area: NewArea, aws_client: ClientFactory, s3: Any
) -> None:
    """SP-23, SP-24, PB-16, PB-17: judged by an AWS that evaluates the conditions."""
    area = new_area(profile=profile)
    other = new_area(slug=f"{area.slug}-2")
    key = areas.open(area).keys[0]
    areas.open(other)
    areas.prove(area, key.access_key_id, key.secret_access_key)
    s3.put_object(Bucket=BUCKET, Key=f"{area.slug}/images/there.png", Body=b"x")
    mine = with_key(aws_client, "s3", key)
    own, foreign = f"{area.slug}/images/a.png", f"{other.slug}/images/a.png"
    upload, download, _, owner_acl = MATRIX[profile]

    assert code_of(lambda: mine.put_object(Bucket=BUCKET, Key=own, Body=b"x")) == upload
    there = f"{area.slug}/images/there.png"
    assert code_of(lambda: mine.get_object(Bucket=BUCKET, Key=there)) == download
    assert (
        code_of(
            lambda: mine.put_object(
                Bucket=BUCKET, Key=own, Body=b"x", ACL="bucket-owner-full-control"
            )
        )
        == owner_acl
    )
    assert code_of(lambda: mine.list_objects_v2(Bucket=BUCKET, Prefix=area.prefix)) == "done"
    for refused in (
        lambda: mine.list_objects_v2(Bucket=BUCKET),
        lambda: mine.list_objects_v2(Bucket=BUCKET, Prefix=area.slug),
        lambda: mine.list_objects_v2(Bucket=BUCKET, Prefix=other.prefix),
        lambda: mine.get_object(Bucket=BUCKET, Key=foreign),
        lambda: mine.put_object(Bucket=BUCKET, Key=foreign, Body=b"x"),
        lambda: mine.put_object(Bucket=BUCKET, Key="root.png", Body=b"x"),
        lambda: mine.delete_object(Bucket=BUCKET, Key=there),
        lambda: mine.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda: with_key(aws_client, "iam", key).list_users(),
        lambda: with_key(aws_client, "iam", key).create_access_key(UserName=area.slug),
    ):
        assert code_of(refused) == "AccessDenied"


def test_closing_takes_all_away_but_the_clients_objects(
    areas: Areas, new_area: NewArea, aws_client: ClientFactory, iam: Any, s3: Any
) -> None:
    """RX-22: key, session token, user, policy and placeholder are gone; objects stay."""
    area = new_area()
    key = areas.open(area).keys[0]
    mine = with_key(aws_client, "s3", key)
    mine.put_object(Bucket=BUCKET, Key=f"{area.slug}/images/a.png", Body=b"12345")
    token = with_key(aws_client, "sts", key).get_session_token()["Credentials"]

    areas.key_off(area)
    assert code_of(lambda: mine.list_objects_v2(Bucket=BUCKET, Prefix=area.prefix)) != "done"
    areas.close(area)

    assert code_of(lambda: iam.get_user(UserName=area.slug)) == "NoSuchEntity"
    assert code_of(with_key(aws_client, "sts", key).get_caller_identity) != "done"
    temporary = aws_client(
        "s3",
        key=token["AccessKeyId"],
        secret=token["SecretAccessKey"],
        token=token["SessionToken"],
    )
    assert code_of(lambda: temporary.list_objects_v2(Bucket=BUCKET, Prefix=area.prefix)) != "done"
    assert code_of(lambda: s3.head_object(Bucket=BUCKET, Key=f"{area.slug}/images/")) == "404"
    remaining = areas.remaining(area)
    assert (remaining.objects, remaining.bytes) == (1, 5)
    areas.close(area)


def test_a_session_token_never_works(
    areas: Areas, new_area: NewArea, aws_client: ClientFactory
) -> None:
    """RX-22: the group denies it, so that a key switched off is dead at once."""
    area = new_area()
    key = areas.open(area).keys[0]
    token = with_key(aws_client, "sts", key).get_session_token()["Credentials"]
    temporary = aws_client(
        "s3",
        key=token["AccessKeyId"],
        secret=token["SecretAccessKey"],
        token=token["SessionToken"],
    )
    listing = lambda: temporary.list_objects_v2(Bucket=BUCKET, Prefix=area.prefix)  # noqa: E731
    assert code_of(listing) == "AccessDenied"


def test_closing_succeeds_after_someone_has_added_things_by_hand(
    areas: Areas, new_area: NewArea, iam: Any, unique: str
) -> None:
    """RX-22: a second key, a login profile, a policy and a group do not stop a closing."""
    area = new_area()
    areas.open(area)
    iam.create_access_key(UserName=area.slug)
    iam.create_login_profile(UserName=area.slug, Password="Str0ng-enough!")
    iam.put_user_policy(
        UserName=area.slug,
        PolicyName="by-hand",
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}',
    )
    iam.attach_user_policy(UserName=area.slug, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    iam.create_group(GroupName=unique)
    iam.add_user_to_group(UserName=area.slug, GroupName=unique)

    off = areas.key_off(area)
    assert len(off.access_key_ids) == 2
    areas.close(area)
    assert code_of(lambda: iam.get_user(UserName=area.slug)) == "NoSuchEntity"


def test_keys_are_a_list_of_generations(areas: Areas, new_area: NewArea, iam: Any) -> None:
    """RX-25: a second key comes beside the first one, and a status is changed in place."""
    area = new_area()
    first = areas.open(area).keys[0]
    both = AreaInputs(**{**vars(area), "keys": (KeyGeneration(1, active=False), KeyGeneration(2))})
    opened = areas.open(both)
    assert opened.keys[0].access_key_id == first.access_key_id
    assert opened.keys[0].secret_access_key == first.secret_access_key
    status = {
        key["AccessKeyId"]: key["Status"]
        for key in iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
    }
    assert status == {
        opened.keys[0].access_key_id: "Inactive",
        opened.keys[1].access_key_id: "Active",
    }


def test_an_update_switches_no_key_on(areas: Areas, new_area: NewArea, iam: Any) -> None:
    """RX-22: only who gives access back does. What the stack has as off stays off."""
    area = new_area()
    key = areas.open(area).keys[0]

    def status() -> str:
        [found] = iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
        return str(found["Status"])

    iam.update_access_key(UserName=area.slug, AccessKeyId=key.access_key_id, Status="Inactive")
    areas.refresh(area)
    assert areas.keys_off(area) == {1}
    assert areas.open(area).keys[0].access_key_id == key.access_key_id
    assert status() == "Inactive"
    areas.open(replace(area, profile="read-only"))
    assert status() == "Inactive"
    # Given back by direct calls, of which the stack learns at the next look.
    iam.update_access_key(UserName=area.slug, AccessKeyId=key.access_key_id, Status="Active")
    areas.open(area)
    assert status() == "Active"
    areas.refresh(area)
    assert areas.keys_off(area) == set()


def test_a_strangers_user_is_never_touched(areas: Areas, new_area: NewArea, iam: Any) -> None:
    """A collision with something untagged fails, says so, and its keys stay as they are."""
    area = new_area()
    iam.create_user(UserName=area.slug)
    key = iam.create_access_key(UserName=area.slug)["AccessKey"]
    with pytest.raises(CollisionError, match="did not make"):
        areas.open(area)
    areas.key_off(area)
    areas.close(area)
    [kept] = iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
    assert (kept["AccessKeyId"], kept["Status"]) == (key["AccessKeyId"], "Active")


def test_progress_names_each_resource(areas: Areas, new_area: NewArea) -> None:
    """A caller sees each resource start and end."""
    seen: list[ResourceProgress] = []
    areas.open(new_area(), seen.append)
    done = [progress.short_type() for progress in seen if progress.phase == "done"]
    assert sorted(done) == [
        "AccessKey",
        "BucketObjectv2",
        "User",
        "UserGroupMembership",
        "UserPolicy",
    ]
    started = [progress.urn for progress in seen if progress.phase == "started"]
    assert {progress.urn for progress in seen if progress.phase == "done"} <= set(started)


def test_preview_says_what_would_be_done_and_leaves_nothing(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    area = new_area()
    planned = areas.preview_open(area)
    assert sorted(change.operation for change in planned) == ["create"] * 5
    assert not areas.stacks.exists(ClientProgram(area))
    assert code_of(lambda: iam.get_user(UserName=area.slug)) == "NoSuchEntity"
    areas.open(area)
    assert areas.preview_open(area) == []
    assert sorted(change.operation for change in areas.preview_close(area)) == ["delete"] * 5
    assert iam.get_user(UserName=area.slug)


def test_drift_is_seen_and_the_state_stays(areas: Areas, new_area: NewArea, iam: Any) -> None:
    """What AWS holds against what the stack says."""
    area = new_area()
    key = areas.open(area).keys[0]
    assert areas.drift(area) == []
    iam.put_user_policy(
        UserName=area.slug,
        PolicyName=area.policy_name,
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}',
    )
    iam.delete_access_key(UserName=area.slug, AccessKeyId=key.access_key_id)
    found = {(drift.kind, drift.name): drift.properties for drift in areas.drift(area)}
    assert set(found) == {("changed", "policy"), ("missing", "key-1")}
    assert "policy" in found["changed", "policy"]
    assert len(areas.drift(area)) == 2


def test_aws_refusing_in_the_middle_is_told_with_its_code(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    """The failure has AWS's own code; what was made is in the stack and can be taken away."""
    area = AreaInputs(**{**vars(new_area()), "group": "no-such-group"})
    with pytest.raises(StackError) as caught:
        areas.open(area)
    assert caught.value.failure.code == "NoSuchEntity"
    assert iam.get_user(UserName=area.slug)
    areas.close(area)
    assert code_of(lambda: iam.get_user(UserName=area.slug)) == "NoSuchEntity"


def test_a_key_that_does_not_work_is_told_when_patience_ends(
    areas: Areas, new_area: NewArea
) -> None:
    """An opening never succeeds with a key that AWS refuses; the answer of AWS is named."""
    area = new_area()
    key = areas.open(area).keys[0]
    with pytest.raises(KeyNotProven) as caught:
        areas.prove(area, key.access_key_id, "x" * 40, timeout=0.3)
    assert key.access_key_id in caught.value.failure.detail
    assert caught.value.failure.code in caught.value.failure.detail
    assert "x" * 40 not in str(caught.value)


def test_a_key_that_works_late_is_waited_for(areas: Areas, new_area: NewArea, iam: Any) -> None:
    """IAM knows a new key after some seconds: the proof polls until it does."""
    area = new_area()
    key = areas.open(area).keys[0]
    named = {"UserName": area.slug, "AccessKeyId": key.access_key_id}
    iam.update_access_key(**named, Status="Inactive")
    late = threading.Timer(0.5, iam.update_access_key, kwargs={**named, "Status": "Active"})
    late.start()
    begun = time.monotonic()
    areas.prove(area, key.access_key_id, key.secret_access_key, timeout=60)
    late.join()
    assert time.monotonic() - begun < 30
