"""Work that ends badly leaves no key on of a client that was suspended meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from models.base import utc_now
from models.operations import Operation, OperationState
from service.worker.beginning import begin
from service.worker.endings import TRIES
from service.worker.timekeeper import Timekeeper
from service.worker.work import Ticket
from tests.faults.calls import Call
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


def begin_repair(house: House, slug: str, _: Hands) -> str:
    """Ask for a repair that has a key to switch on."""
    for key_id in held_keys(house, slug):
        house.iam.update_access_key(UserName=slug, AccessKeyId=key_id, Status="Inactive")
    answer = house.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    return str(answer.json()["id"])


def begin_update(house: House, slug: str, hands: Hands) -> str:
    """Have an overlap end of which the engine has yet to learn that the new key is on again."""
    hands.drive(house.api.post(f"/v1/clients/{slug}/rotate").json()["id"])
    assert house.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]
    answer = house.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    hands.drive(answer.json()["id"])
    assert house.api.post(f"/v1/clients/{slug}/resume", params=REASON).status_code == 200
    Timekeeper(house.services).tick(utc_now() + timedelta(days=7, hours=1))
    [operation] = [one for one in house.unfinished() if one.client_id == house.client(slug).id]
    return operation.id


KINDS = [begin_repair, begin_update]


def when_a_key_is_switched_on(proxy: FaultProxy, act: Meanwhile) -> None:
    """Act before the engine's call to switch a key on, once."""
    done: list[str] = []

    def tell(call: Call) -> None:
        if call.arguments["Status"] == "Active" and not done:
            done.append(call.key_id)
            act()

    proxy.inject("UpdateAccessKey", Tell(tell))


def suspend(house: House, slug: str) -> None:
    """Suspend as ops do."""
    assert house.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]


def all_is_cut(house: House, slug: str) -> bool:
    """Tell whether AWS holds both halves of the cut."""
    return denied(house, slug) and set(held_keys(house, slug).values()) == {"Inactive"}


def carried_out(other: House, operation: str) -> Operation:
    """Carry the operation out where AWS is seen through the proxy."""
    with hands_of(other) as hands:
        hands.drive(operation)
        return hands.operation(operation)


@pytest.mark.parametrize("ask", KINDS)
def test_work_that_aws_refuses_cuts_once_more(
    ask: Callable[..., str], idle: House, slug: str, hands: Hands
) -> None:
    """RX-22: the engine switches a key on after the suspension, and is refused the next call."""
    operation = ask(idle, slug, hands)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:

        def meanwhile() -> None:
            suspend(idle, slug)
            proxy.inject("*", DENIED, times=1)

        when_a_key_is_switched_on(proxy, meanwhile)
        ended = carried_out(other, operation)
    assert ended.state is OperationState.failed
    assert all_is_cut(idle, slug)
    assert idle.client(slug).cut_at is not None


@pytest.mark.parametrize("ask", KINDS)
def test_work_that_is_cancelled_cuts_once_more(
    ask: Callable[..., str], idle: House, slug: str, hands: Hands
) -> None:
    operation = ask(idle, slug, hands)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:

        def meanwhile() -> None:
            suspend(idle, slug)
            answer = idle.api.post(f"/v1/operations/{operation}/cancel", json=REASON)
            assert answer.status_code == 202, answer.text

        when_a_key_is_switched_on(proxy, meanwhile)
        assert carried_out(other, operation).state is OperationState.cancelled
    assert all_is_cut(idle, slug)


@pytest.mark.parametrize("ask", KINDS)
def test_what_aws_refuses_to_cut_at_the_end_is_left_to_the_clock(
    ask: Callable[..., str], idle: House, slug: str, hands: Hands
) -> None:
    """The suspension is told as not confirmed, and tried again at the clock's next look."""
    operation = ask(idle, slug, hands)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:

        def meanwhile() -> None:
            suspend(idle, slug)
            proxy.inject("*", DENIED)

        when_a_key_is_switched_on(proxy, meanwhile)
        assert carried_out(other, operation).state is OperationState.failed
    assert not all_is_cut(idle, slug)
    assert idle.client(slug).cut_at is None
    Timekeeper(idle.services).tick()
    assert all_is_cut(idle, slug)


def test_work_that_kills_its_worker_is_left_to_the_clock(
    idle: House, slug: str, hands: Hands
) -> None:
    """Given up after some deaths, of which each may have come after a key was switched on."""
    operation = begin_repair(idle, slug, hands)
    suspend(idle, slug)
    for key_id in held_keys(idle, slug):
        idle.iam.update_access_key(UserName=slug, AccessKeyId=key_id, Status="Active")
    for _ in range(TRIES + 1):
        begin(hands.work, Ticket(operation, hands.operation(operation).run))
    assert hands.operation(operation).state is OperationState.failed
    clock = Timekeeper(idle.services)
    # As in a process that has looked after all suspensions a moment ago.
    clock._verify_at = utc_now() + timedelta(minutes=10)
    clock.tick()
    assert all_is_cut(idle, slug)
