"""Suspended at any moment of any work, a client has no key that works, and nothing gives it back.

Each operation is suspended before each of its steps and at each event of its engine; the engine
has read its wishes before, so that it makes and switches keys that must not work any more.
"""

from collections.abc import Callable
from typing import Any

import pytest

from models.clients import ClientState
from models.operations import OperationKind, OperationState
from service.worker.plans import PLANS
from stacks.suspension import Target
from tests.service.house import House
from tests.service.suspension.hands import (
    Hands,
    denied,
    held_keys,
    living,
    new_name,
    secret_of,
    works,
)

MOST_EVENTS, STRIDE = 40, 3
"""More events than any engine here tells: the loop ends when the moment was not reached. Every
third is tried; a resource tells two.
"""

Ask = Callable[[House, str], str]


def ask_open(house: House, slug: str) -> str:
    return str(house.ask_open(slug).json()["id"])


def ask_rotate(house: House, slug: str) -> str:
    return str(house.api.post(f"/v1/clients/{slug}/rotate").json()["id"])


def ask_repair(house: House, slug: str) -> str:
    answer = house.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    return str(answer.json()["id"])


KINDS: dict[OperationKind, Ask] = {
    OperationKind.open: ask_open,
    OperationKind.rotate: ask_rotate,
    OperationKind.repair: ask_repair,
}
STEPS = [(kind, step.name) for kind in KINDS for step in PLANS[kind].steps]


def begin(house: House, hands: Hands, kind: OperationKind) -> tuple[str, str]:
    """Ask for the operation of a new client; an area that has to be there is opened before."""
    slug = new_name()
    if kind is not OperationKind.open:
        hands.drive(ask_open(house, slug))
    return slug, KINDS[kind](house, slug)


def no_key_works(house: House, slug: str) -> None:
    """All keys are off, the user is denied everything, and a try of each key is refused."""
    assert set(held_keys(house, slug).values()) <= {"Inactive"}
    assert denied(house, slug)
    for key in living(house.keys(slug)):
        assert not works(house, key, secret_of(house.services, key))


def suspend(house: House, slug: str) -> Callable[[], Any]:
    """Return what suspends the client as ops do."""

    def act() -> None:
        answer = house.api.post(f"/v1/clients/{slug}/suspend")
        assert answer.status_code == 200, answer.text
        assert answer.json()["cut"]

    return act


@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_suspended_before_a_step(kind: OperationKind, step: str, idle: House, hands: Hands) -> None:
    """RX-22: the work goes on to its end, and the client is suspended there."""
    slug, operation = begin(idle, hands, kind)
    hands.drive(operation, before=step, act=suspend(idle, slug))
    assert hands.operation(operation).state is OperationState.succeeded
    assert idle.client(slug).state is ClientState.suspended
    no_key_works(idle, slug)


@pytest.mark.parametrize("kind", [OperationKind.open, OperationKind.rotate])
def test_suspended_at_each_event_of_the_engine(
    kind: OperationKind, idle: House, hands: Hands
) -> None:
    """The engine began before the suspension, and still wishes its keys active."""
    for at in range(1, MOST_EVENTS, STRIDE):
        slug, operation = begin(idle, hands, kind)
        hands.work.seen, hands.work.at = 0, at
        hands.work.meddle = suspend(idle, slug)
        hands.drive(operation)
        hands.work.at = -1
        if hands.work.seen < at:
            break
        assert hands.operation(operation).state is OperationState.succeeded
        no_key_works(idle, slug)
    else:
        pytest.fail("the engine tells more events than are tried")
    assert at > 2 * STRIDE


def test_no_retry_repair_or_rotation_switches_a_suspended_key_on(
    idle: House, slug: str, hands: Hands
) -> None:
    """Only `resume` does. The engine itself is told to keep them off, at each of its events."""
    suspend(idle, slug)()
    seen: set[str] = set()
    hands.work.meddle = lambda: seen.update(held_keys(idle, slug).values())
    operation = ask_repair(idle, slug)
    for _ in hands.steps(operation):
        hands.work.every = True
    hands.work.every = False
    assert seen == {"Inactive"}
    no_key_works(idle, slug)
    answer = idle.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
    hands.drive(answer.json()["id"])
    no_key_works(idle, slug)
    # Both switched on by hand at AWS: the next work cuts them again.
    for key_id in held_keys(idle, slug):
        idle.iam.update_access_key(UserName=slug, AccessKeyId=key_id, Status="Active")
    idle.iam.delete_user_policy(UserName=slug, PolicyName="handover-suspended")
    hands.drive(ask_repair(idle, slug))
    no_key_works(idle, slug)
    idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "All is well"})
    assert works(idle, idle.keys(slug)[1])
    assert not works(idle, idle.keys(slug)[0])


def test_a_failed_opening_that_is_retried_stays_suspended(idle: House, hands: Hands) -> None:
    slug = new_name()
    operation = ask_open(idle, slug)
    hands.drive(operation, before="make", act=lambda: idle.iam.create_user(UserName=slug))
    assert idle.client(slug).state is ClientState.failed
    assert idle.api.post(f"/v1/clients/{slug}/suspend").status_code == 200
    idle.iam.delete_user(UserName=slug)
    assert idle.api.post(f"/v1/operations/{operation}/retry").status_code == 202
    hands.drive(operation)
    assert idle.client(slug).state is ClientState.suspended
    no_key_works(idle, slug)
    # Proven when it is resumed, and only then handed out.
    assert idle.api.get(f"/v1/clients/{slug}/record.pdf").status_code == 409
    idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "All is well"})
    assert works(idle, idle.keys(slug)[-1])
    assert idle.api.get(f"/v1/clients/{slug}/record.pdf").status_code == 200


def test_a_cut_by_hand_during_a_rotation_becomes_a_suspension(
    idle: House, slug: str, hands: Hands
) -> None:
    """`handover key off` with the database down, while a rotation is under way."""
    operation = ask_rotate(idle, slug)

    def cut() -> None:
        services = idle.services
        client = idle.client(slug)
        services.areas.switch.cut(Target(client.id, slug, slug))

    hands.drive(operation, before="apply", act=cut)
    assert idle.client(slug).state is ClientState.suspended
    no_key_works(idle, slug)
