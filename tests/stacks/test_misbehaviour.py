"""Areas while AWS throttles, breaks, falls silent, loses answers and does not agree with itself.

Requests go through a fault proxy; what is left in AWS is looked at past it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from botocore.exceptions import ClientError

from engine.aws.clients import ANSWER_VARIABLE, SETTLE_VARIABLE
from engine.localaws import LocalAws
from stacks.areas import Areas, OpenedArea
from stacks.automation import Stacks
from stacks.backend import Backend
from stacks.client import AreaInputs, ClientProgram
from stacks.failures import CollisionError, StackError
from tests.faults.faults import (
    INTERNAL_FAILURE,
    LOST_ANSWER,
    SLOW_DOWN,
    THROTTLED,
    UNAVAILABLE,
    Fault,
    Refuse,
    Reset,
    Rules,
    Silent,
    Slow,
    Tell,
)
from tests.faults.proxy import FaultProxy
from tests.seeds import first_seed
from tests.stacks.conftest import BUCKET, GROUP, NewArea

MAKING = ("PutObject", "CreateUser", "AddUserToGroup", "PutUserPolicy", "CreateAccessKey")
REMOVING = (
    "DeleteAccessKey",
    "DeleteUserPolicy",
    "RemoveUserFromGroup",
    "DeleteUser",
    "DeleteObjects",
)
SETTLE, ANSWER = 30.0, 10.0
"""Seconds; long enough for a machine that is kept busy, where nothing waits for them to end."""


@dataclass
class World:
    """Areas that see AWS through the proxy, and the truth past it."""

    areas: Areas
    proxy: FaultProxy
    iam: Any
    s3: Any

    def key_ids(self, area: AreaInputs) -> list[str]:
        keys = self.iam.list_access_keys(UserName=area.user_name)["AccessKeyMetadata"]
        return [key["AccessKeyId"] for key in keys]

    def assert_whole(self, area: AreaInputs, opened: OpenedArea) -> None:
        """One user with our tag, its policy and group, exactly the keys that are due."""
        assert self.key_ids(area) == [key.access_key_id for key in opened.keys]
        policies = self.iam.list_user_policies(UserName=area.user_name)["PolicyNames"]
        assert policies == [area.policy_name]
        groups = self.iam.list_groups_for_user(UserName=area.user_name)["Groups"]
        assert [group["GroupName"] for group in groups] == [area.group]
        self.s3.head_object(Bucket=area.bucket, Key=area.placeholder_key)
        state = self.areas.stacks.export(ClientProgram(area))
        assert state is not None
        assert state.pending_operations() == []

    def assert_gone(self, area: AreaInputs) -> None:
        """No user, no placeholder, no version of it, no stack."""
        with pytest.raises(ClientError, match="NoSuchEntity"):
            self.iam.get_user(UserName=area.user_name)
        versions = self.s3.list_object_versions(Bucket=area.bucket, Prefix=area.prefix)
        assert not versions.get("Versions")
        assert not self.areas.stacks.exists(ClientProgram(area))


class NewWorld(Protocol):
    """Makes areas of their own behind a proxy; AWS may take so many seconds to answer."""

    def __call__(self, answer: float = ANSWER) -> World: ...


@pytest.fixture
def new_world(
    areas: Areas, local_aws: LocalAws, tmp_path: Path, iam: Any, s3: Any
) -> Iterator[NewWorld]:
    """Areas behind a proxy that behaves until told otherwise, on the foundation of the others."""
    (tmp_path / "state").mkdir()
    with ExitStack() as proxies:

        def make(answer: float = ANSWER) -> World:
            patience = {SETTLE_VARIABLE: str(SETTLE), ANSWER_VARIABLE: str(answer)}
            proxy = proxies.enter_context(FaultProxy(local_aws))
            backend = Backend(
                url=f"file://{tmp_path / 'state'}",
                engine="embedded",
                environment=proxy.environment(**patience),
                passphrase="correct horse",
                work_directory=tmp_path / "work",
            )
            found = Areas(Stacks(backend), bucket=BUCKET, region="eu-west-1", group=GROUP)
            return World(found, proxy, iam, s3)

        yield make


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """One of them."""
    return new_world()


def test_each_call_that_makes_or_removes_may_go_wrong_once(
    new_world: NewWorld, new_area: NewArea
) -> None:
    """A lost answer neither makes a second key nor collides with what the first call made.

    Side by side, as nearly all of the time is spent in pauses.
    """
    faults: tuple[Fault, ...] = (
        THROTTLED,
        INTERNAL_FAILURE,
        UNAVAILABLE,
        Reset(),
        LOST_ANSWER,
        Slow(0.2),
        Silent(),
    )
    with ThreadPoolExecutor(len(faults) + 1) as pool:
        gone = pool.submit(see_it_gone, new_world(), new_area())
        worlds = [new_world(1.5 if fault == Silent() else ANSWER) for fault in faults]
        runs = [
            pool.submit(go_through, world, new_area(), fault)
            for world, fault in zip(worlds, faults, strict=True)
        ]
    for fault, run in zip(faults, runs, strict=True):
        print(fault)
        run.result()
    gone.result()


def go_through(world: World, area: AreaInputs, fault: Fault) -> None:
    """Open and close an area, with the fault in each call that makes or removes something."""
    making = [world.proxy.inject(action, fault, times=1) for action in MAKING]
    opened = world.areas.open(area)
    assert [rule.hits for rule in making] == [1] * len(MAKING)
    world.assert_whole(area, opened)
    removing = [world.proxy.inject(action, fault, times=1) for action in REMOVING]
    world.areas.key_off(area)
    world.areas.close(area)
    assert [rule.hits for rule in removing] == [1] * len(REMOVING)
    world.assert_gone(area)


def test_s3_that_asks_to_slow_down_is_asked_again(world: World, new_area: NewArea) -> None:
    area = new_area()
    rule = world.proxy.inject("PutObject", SLOW_DOWN, times=2)
    world.assert_whole(area, world.areas.open(area))
    assert rule.hits == 2


def test_what_is_new_or_deleted_may_be_unknown_or_still_there_for_seconds(
    world: World, new_area: NewArea
) -> None:
    """SP-21: open, prove, close and open again, while IAM does not agree with itself."""
    area = new_area()
    world.proxy.consistency.unknown = world.proxy.consistency.lingering = 0.6
    opened = world.areas.open(area)
    [key] = opened.keys
    world.areas.prove(area, key.access_key_id, key.secret_access_key, timeout=60)
    world.assert_whole(area, opened)
    world.areas.key_off(area, [key.access_key_id])
    world.areas.close(area)
    world.assert_gone(area)
    again = world.areas.open(area)
    world.assert_whole(area, again)
    world.areas.close(area)
    world.assert_gone(area)


def test_a_lost_key_that_is_not_listed_yet_is_waited_for_and_removed(
    world: World, new_area: NewArea
) -> None:
    """Never two keys where one is due, though the lost one is unknown when first looked for."""
    area = new_area()
    world.proxy.consistency.unknown = 1.0
    world.proxy.inject("CreateAccessKey", LOST_ANSWER, times=1)
    world.assert_whole(area, world.areas.open(area))


def test_a_rollback_right_after_a_lost_user_leaves_none(world: World, new_area: NewArea) -> None:
    """The user is not known yet when it is to be removed."""
    area = new_area()
    world.proxy.consistency.unknown = 1.0
    world.proxy.inject("CreateUser", LOST_ANSWER, times=1)
    with pytest.raises(StackError, match="EntityAlreadyExists"):
        world.areas.stacks.up(ClientProgram(area))
    world.areas.close(area)
    world.assert_gone(area)


@pytest.mark.parametrize("code", ["AccessDenied", "MalformedPolicyDocument", "LimitExceeded"])
def test_permanent_refusals_fail_at_once_with_the_code_and_leave_nothing(
    world: World, new_area: NewArea, code: str
) -> None:
    area = new_area()
    rule = world.proxy.inject("PutUserPolicy", Refuse(400, code))
    with pytest.raises(StackError) as caught:
        world.areas.open(area)
    assert caught.value.failure.code == code
    assert not caught.value.failure.transient
    assert rule.hits == 1
    world.proxy.calm()
    world.areas.close(area)
    world.assert_gone(area)


def test_a_strangers_user_is_never_taken_though_answers_are_lost(
    world: World, new_area: NewArea
) -> None:
    """A collision with what does not carry our tag is told, and nothing of it is touched."""
    area = new_area()

    # It appears after our look and just before our second try, so that only the collision tells.
    world.proxy.inject("CreateUser", UNAVAILABLE, times=1)
    appears = Tell(lambda call: world.iam.create_user(UserName=call.user))
    rule = world.proxy.inject("CreateUser", appears, times=1)
    with pytest.raises(CollisionError):
        world.areas.open(area)
    assert rule.hits == 1
    assert world.key_ids(area) == []
    world.areas.close(area)
    assert world.iam.get_user(UserName=area.user_name)


def see_it_gone(world: World, area: AreaInputs) -> None:
    """An AWS that is gone is told as such, and as something that passes."""
    world.proxy.inject("*", Reset())
    with pytest.raises(StackError) as caught:
        world.areas.open(area)
    assert caught.value.failure.code == "AwsUnreachable"
    assert caught.value.failure.transient


def test_a_seeded_storm_is_weathered(world: World, new_area: NewArea) -> None:
    """Tried again as the worker does, each area ends with exactly its one key."""
    seed = first_seed()
    print(f"seed {seed}")
    world.proxy.rules = Rules(seed)
    for fault in (THROTTLED, INTERNAL_FAILURE, Reset(), LOST_ANSWER):
        world.proxy.inject("*", fault, chance=0.04)
    areas = [new_area() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda area: patiently(world.areas.open, area), areas))
    for area, result in zip(areas, opened, strict=True):
        world.assert_whole(area, result)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda area: patiently(world.areas.close, area), areas))
    for area in areas:
        world.assert_gone(area)


def patiently(call: Any, area: AreaInputs) -> Any:
    """Call again after what passes by itself, as the worker does."""
    for _ in range(20):
        try:
            return call(area)
        except StackError as error:
            if not error.failure.transient:
                raise
    raise AssertionError("AWS did not come round within 20 tries")
