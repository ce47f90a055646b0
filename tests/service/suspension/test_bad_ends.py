"""Work that ends badly leaves no key on of a client that was suspended meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationState
from service.worker.beginning import begin, under_way
from service.worker.endings import TRIES
from service.worker.timekeeper import Timekeeper
from service.worker.work import Ticket
from tests.faults.faults import DENIED, Tell
from tests.faults.proxy import FaultProxy
from tests.service.house import House
from tests.service.suspension.hands import (
    Hands,
    denied,
    hands_of,
    held_keys,
    misled,
)

REASON = {"reason": "of the test"}
Meanwhile = Callable[[], Any]


def begin_repair(house: House, slug: str) -> str:
    """Ask for a repair that has a key to make."""
    for key_id in held_keys(house, slug):
        house.iam.delete_access_key(UserName=slug, AccessKeyId=key_id)
    answer = house.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    return str(answer.json()["id"])


def begin_rotation(house: House, slug: str) -> str:
    """Ask for a second key."""
    return str(house.api.post(f"/v1/clients/{slug}/rotate").json()["id"])


KINDS = [begin_repair, begin_rotation]
Ask = Callable[[House, str], str]


def when_a_key_is_made(proxy: FaultProxy, act: Meanwhile) -> None:
    """Act before the engine's call that makes a key that works."""
    proxy.inject("CreateAccessKey", Tell(lambda _: act()), times=1)


def suspend(house: House, slug: str) -> None:
    """Suspend as ops do."""
    assert house.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]


def all_is_cut(house: House, slug: str) -> bool:
    """Tell whether AWS holds both halves of the cut."""
    return denied(house, slug) and set(held_keys(house, slug).values()) <= {"Inactive"}


def carried_out(other: House, operation: str) -> Operation:
    """Carry the operation out where AWS is seen through the proxy."""
    with hands_of(other) as hands:
        hands.drive(operation)
        return hands.operation(operation)


@pytest.mark.parametrize("ask", KINDS)
def test_work_that_aws_refuses_cuts_once_more(ask: Ask, idle: House, slug: str) -> None:
    """RX-22: the engine makes a key after the suspension, and is refused the next call."""
    operation = ask(idle, slug)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:

        def meanwhile() -> None:
            suspend(idle, slug)
            proxy.inject("*", DENIED, times=1)

        when_a_key_is_made(proxy, meanwhile)
        ended = carried_out(other, operation)
    assert ended.state is OperationState.failed
    assert all_is_cut(idle, slug)
    assert idle.client(slug).cut_at is not None


@pytest.mark.parametrize("ask", KINDS)
def test_work_that_is_cancelled_cuts_once_more(ask: Ask, idle: House, slug: str) -> None:
    operation = ask(idle, slug)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:

        def meanwhile() -> None:
            suspend(idle, slug)
            answer = idle.api.post(f"/v1/operations/{operation}/cancel", json=REASON)
            assert answer.status_code == 202, answer.text

        when_a_key_is_made(proxy, meanwhile)
        assert carried_out(other, operation).state is OperationState.cancelled
    assert all_is_cut(idle, slug)


@pytest.mark.parametrize("ask", KINDS)
def test_what_aws_refuses_to_cut_at_the_end_is_left_to_the_clock(
    ask: Ask, idle: House, slug: str
) -> None:
    """The suspension is told as not confirmed, and tried again at the clock's next look."""
    operation = ask(idle, slug)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:

        def meanwhile() -> None:
            suspend(idle, slug)
            proxy.inject("*", DENIED)

        when_a_key_is_made(proxy, meanwhile)
        assert carried_out(other, operation).state is OperationState.failed
    assert not all_is_cut(idle, slug)
    assert idle.client(slug).cut_at is None
    Timekeeper(idle.services).tick()
    assert all_is_cut(idle, slug)


def test_work_that_kills_its_worker_is_left_to_the_clock(
    idle: House, slug: str, hands: Hands
) -> None:
    """Given up after some deaths, of which each may have come after a key was made."""
    operation = begin_rotation(idle, slug)
    suspend(idle, slug)
    for key_id in held_keys(idle, slug):
        idle.iam.update_access_key(UserName=slug, AccessKeyId=key_id, Status="Active")
    ticket = Ticket(operation, hands.operation(operation).run)
    begin(hands.work, ticket)
    with transaction(idle.services.database) as session:
        row = session.get_one(Operation, operation)
        row.deaths, row.under_way = TRIES - 1, True
    with under_way(hands.work, ticket) as goes_on:
        assert not goes_on
    assert hands.operation(operation).state is OperationState.failed
    clock = Timekeeper(idle.services)
    # As in a process that has looked after all suspensions a moment ago.
    clock._verify_at = utc_now() + timedelta(minutes=10)
    clock.tick()
    assert all_is_cut(idle, slug)
