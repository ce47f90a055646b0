"""Cutting access by direct calls and giving it back, judged by an AWS that enforces IAM."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.localaws import LocalAws
from stacks import clients
from stacks.areas import Areas, IssuedKey
from stacks.client import AreaInputs
from stacks.failures import StackError
from stacks.policies import (
    INLINE_POLICY_LIMIT,
    PROFILES,
    SUSPENSION_POLICY,
    area_policy,
    compact,
    suspension_denial,
)
from stacks.suspension import AccessSwitch, Target
from tests.faults.consistency import Consistency
from tests.faults.proxy import FaultProxy
from tests.localaws import ClientFactory
from tests.stacks.conftest import BUCKET, NewArea

Opened = tuple[AreaInputs, IssuedKey, Target]
Lagging = tuple[AccessSwitch, Consistency]
PATIENCE = 60.0


@pytest.fixture
def opened(areas: Areas, new_area: NewArea) -> Opened:
    """An open area, its key, and the area as a target."""
    area = new_area()
    key = areas.open(area).keys[0]
    return area, key, target_of(area, key)


def target_of(area: AreaInputs, *keys: IssuedKey) -> Target:
    known = tuple(key.access_key_id for key in keys)
    return Target(area.client_id, area.slug, area.user_name, known)


def answer_to(call: Callable[[], Any]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def listing(aws_client: ClientFactory, area: AreaInputs, key: str, secret: str, **more: str) -> str:
    s3 = aws_client("s3", key=key, secret=secret, **more)
    return answer_to(lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix=area.prefix))


def test_a_cut_ends_all_access_and_is_read_back(
    areas: Areas, opened: Opened, aws_client: ClientFactory, iam: Any
) -> None:
    """RX-22: key inactive, explicit denial on the user, both as AWS tells them."""
    area, key, target = opened
    work = (aws_client, area, key.access_key_id, key.secret_access_key)
    assert listing(*work) == "done"

    held = areas.switch.cut(target)

    assert (held.cut, held.denied, held.active_ids()) == (True, True, set())
    assert listing(*work) != "done"
    [there] = iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
    assert there["Status"] == "Inactive"
    policy = iam.get_user_policy(UserName=area.slug, PolicyName=SUSPENSION_POLICY)
    assert policy["PolicyDocument"] == suspension_denial()
    assert areas.switch.cut(target) == held


@pytest.mark.parametrize("what", ["key", "denial"])
def test_each_half_of_a_cut_is_enough(
    what: str, areas: Areas, opened: Opened, aws_client: ClientFactory, iam: Any
) -> None:
    """Whoever undoes one half by hand gives no access: the other one holds."""
    area, key, target = opened
    areas.switch.cut(target)
    if what == "key":
        iam.delete_user_policy(UserName=area.slug, PolicyName=SUSPENSION_POLICY)
    else:
        iam.update_access_key(UserName=area.slug, AccessKeyId=key.access_key_id, Status="Active")
    assert not areas.switch.look(target).cut
    assert listing(aws_client, area, key.access_key_id, key.secret_access_key) != "done"


def test_a_session_token_of_a_cut_key_is_dead(
    areas: Areas, opened: Opened, aws_client: ClientFactory
) -> None:
    """A token lives on for up to 36 hours; none of a client's ever works."""
    area, key, target = opened
    sts = aws_client("sts", key=key.access_key_id, secret=key.secret_access_key)
    token = sts.get_session_token()["Credentials"]
    areas.switch.cut(target)
    keys = (token["AccessKeyId"], token["SecretAccessKey"])
    assert listing(aws_client, area, *keys, token=token["SessionToken"]) != "done"


def test_a_key_made_after_the_cut_is_denied(
    areas: Areas, opened: Opened, aws_client: ClientFactory, iam: Any
) -> None:
    """An engine that makes a key in the same moment gives no access by it."""
    area, _, target = opened
    areas.switch.cut(target)
    made = iam.create_access_key(UserName=area.slug)["AccessKey"]
    assert listing(aws_client, area, made["AccessKeyId"], made["SecretAccessKey"]) != "done"
    assert not areas.switch.look(target).cut
    assert areas.switch.cut(target).cut


def test_lifting_gives_back_only_what_is_wished(
    areas: Areas, opened: Opened, aws_client: ClientFactory, iam: Any
) -> None:
    area, key, target = opened
    other = iam.create_access_key(UserName=area.slug)["AccessKey"]
    areas.switch.cut(target)

    held = areas.switch.lift(target, lambda: [key.access_key_id, "AKIAIOSFODNN7EXAMPLE"])

    assert (held.denied, held.active_ids()) == (False, {key.access_key_id})
    assert listing(aws_client, area, key.access_key_id, key.secret_access_key) == "done"
    assert listing(aws_client, area, other["AccessKeyId"], other["SecretAccessKey"]) != "done"
    assert areas.switch.lift(target, lambda: [key.access_key_id]) == held


def test_single_keys_are_cut_and_the_others_work(
    areas: Areas, opened: Opened, aws_client: ClientFactory, iam: Any
) -> None:
    """A leaked key goes and its successor is not denied."""
    area, key, target = opened
    other = iam.create_access_key(UserName=area.slug)["AccessKey"]
    held = areas.switch.keys_off(target, [key.access_key_id])
    assert (held.denied, held.active_ids()) == (False, {other["AccessKeyId"]})
    assert listing(aws_client, area, key.access_key_id, key.secret_access_key) != "done"
    assert listing(aws_client, area, other["AccessKeyId"], other["SecretAccessKey"]) == "done"


def test_an_edited_denial_is_put_right(areas: Areas, opened: Opened, iam: Any) -> None:
    """A denial of less than everything is none."""
    area, _, target = opened
    areas.switch.cut(target)
    weak = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ec2:*"}]}
    weak["Statement"][0]["Resource"] = "*"  # type: ignore[index]
    iam.put_user_policy(
        UserName=area.slug, PolicyName=SUSPENSION_POLICY, PolicyDocument=json.dumps(weak)
    )
    assert not areas.switch.look(target).denied
    assert areas.switch.cut(target).denied


def test_a_strangers_user_of_the_same_name_is_left_alone(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    """What carries no tag of ours and holds no key of ours is not ours to cut."""
    area = new_area()
    iam.create_user(UserName=area.slug)
    made = iam.create_access_key(UserName=area.slug)["AccessKey"]
    held = areas.switch.cut(target_of(area))
    assert (held.exists, held.cut) == (False, True)
    [there] = iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
    assert (there["AccessKeyId"], there["Status"]) == (made["AccessKeyId"], "Active")


def test_a_user_that_lost_our_tag_is_known_by_its_key(
    areas: Areas, opened: Opened, iam: Any
) -> None:
    area, _, target = opened
    iam.untag_user(UserName=area.slug, TagKeys=["handover:client"])
    assert areas.switch.cut(target).denied


def test_a_user_that_is_gone_has_no_access(areas: Areas, new_area: NewArea) -> None:
    area = new_area()
    assert areas.switch.cut(target_of(area)).cut
    assert areas.switch.lift(target_of(area), lambda: []).exists is False


def test_a_key_leads_to_its_user(areas: Areas, opened: Opened, iam: Any) -> None:
    """A leak report names a key, not a company."""
    area, key, _ = opened
    assert areas.switch.user_with_key(key.access_key_id) == area.slug
    assert areas.switch.client_of(area.slug) == area.client_id
    assert areas.switch.user_with_key("AKIAIOSFODNN7EXAMPLE") is None
    stranger = f"{area.slug}-stranger"
    iam.create_user(UserName=stranger)
    assert areas.switch.client_of(stranger) is None


def test_a_suspended_area_can_be_made_and_closed(areas: Areas, opened: Opened, iam: Any) -> None:
    """The denial is in no stack: `up` leaves it, and closing takes it away."""
    area, _, target = opened
    areas.switch.cut(target)
    areas.open(area)
    assert areas.switch.look(target).denied
    areas.close(area)
    assert answer_to(lambda: iam.get_user(UserName=area.slug)) == "NoSuchEntity"


@pytest.fixture
def lagging(local_aws: LocalAws) -> Iterator[Lagging]:
    """A switch that asks another part of IAM than the others, and how that part lags."""
    with FaultProxy(local_aws) as proxy:
        yield AccessSwitch(proxy.environment()), proxy.consistency


@pytest.mark.parametrize("what", ["all", "the key"])
def test_what_aws_told_before_access_was_given_back_is_not_believed(
    what: str, lagging: Lagging, areas: Areas, opened: Opened
) -> None:
    """RX-22: cut, given back elsewhere, and cut again while this part still tells of the cut."""
    switch, consistency = lagging
    _, key, target = opened
    switch.cut(target)
    consistency.fall_behind(PATIENCE)
    areas.switch.lift(target, lambda: [key.access_key_id])
    if what == "all":
        switch.cut(target)
        assert areas.switch.look(target).cut
    else:
        switch.keys_off(target, [key.access_key_id])
        assert areas.switch.look(target).active_ids() == set()


def test_what_aws_told_before_a_cut_does_not_keep_it(
    lagging: Lagging, areas: Areas, opened: Opened
) -> None:
    """Given back means that AWS was told so, however old its word is."""
    switch, consistency = lagging
    _, key, target = opened
    switch.look(target)
    consistency.fall_behind(PATIENCE)
    areas.switch.cut(target)
    switch.lift(target, lambda: [key.access_key_id])
    held = areas.switch.look(target)
    assert (held.denied, held.active_ids()) == (False, {key.access_key_id})


def test_a_cut_is_confirmed_when_aws_tells_of_it(lagging: Lagging, opened: Opened) -> None:
    """Of policies and keys it may tell for seconds as they were."""
    switch, consistency = lagging
    before = switch.look(opened[2])
    consistency.fall_behind(1.5)
    assert switch.look(opened[2]) == before
    assert switch.cut(opened[2]).cut


def test_a_cut_that_holds_is_looked_after_without_changing_anything(
    local_aws: LocalAws, opened: Opened
) -> None:
    """Looking after each suspension now and then must not fill CloudTrail with changes."""
    with FaultProxy(local_aws) as proxy:
        switch = AccessSwitch(proxy.environment())
        switch.cut(opened[2])
        proxy.calls.clear()
        assert switch.cut(opened[2], anew=False).cut
        assert not {"PutUserPolicy", "UpdateAccessKey"} & set(proxy.calls)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_denial_fits_beside_the_longest_policy(profile: str) -> None:
    """AWS allows 2,048 characters for all inline policies of a user."""
    policy = area_policy(profile, bucket="b" * 63, slug="x" * 50, region="eusc-de-east-1")
    both = compact(policy) + compact(suspension_denial())
    assert len("".join(both.split())) <= INLINE_POLICY_LIMIT


def test_an_aws_that_is_away_is_told_within_seconds(
    areas: Areas, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cuts a key at night must not wait for minutes to learn that AWS is away."""
    monkeypatch.setattr(clients, "HURRIED_SECONDS", 0.2)
    nowhere = {**areas.environment, "AWS_ENDPOINT_URL": "https://127.0.0.1:9"}
    began = time.monotonic()
    with pytest.raises(StackError) as caught:
        AccessSwitch(nowhere).cut(opened[2])
    assert caught.value.failure.transient
    assert time.monotonic() - began < 60
