"""What the clock began and could not be done: tried again ever later, and given up in sight."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from engine.localaws import LocalAws
from models.access_keys import AccessKey
from models.base import utc_now
from models.database import transaction
from models.operations import Operation
from service.assembly import Runtime, build_areas
from service.rotation.postponing import CLOCK_TRIES, DEATHS_WEIGH, LONGEST_PAUSE
from service.worker.beginning import begin, under_way
from service.worker.endings import GAVE_UP, TRIES
from service.worker.timekeeper import Timekeeper
from service.worker.work import Ticket
from tests.faults.faults import DENIED
from tests.faults.proxy import FaultProxy
from tests.service.house import House
from tests.service.rotation.test_clock_failed import cancel, unfinished
from tests.service.suspension.hands import Hands, actions, hands_of, held_keys


@pytest.fixture
def due(idle: House, slug: str, hands: Hands) -> str:
    """A client whose old key is to be turned off now."""
    answer = idle.api.post(f"/v1/clients/{slug}/rotate", params={"overlap_days": "0"})
    hands.drive(answer.json()["id"])
    return slug


@pytest.fixture
def denied_hands(idle: House, local_aws: LocalAws) -> Iterator[Hands]:
    """Hands whose AWS lets nobody touch a key."""
    with FaultProxy(local_aws) as proxy:
        proxy.inject("UpdateAccessKey", DENIED)
        areas = build_areas(idle.services.settings, proxy.environment())
        refused = House(Runtime(replace(idle.services, areas=areas), None), idle.aws, idle.api)
        with hands_of(refused) as made:
            yield made


def old_key(idle: House, slug: str) -> AccessKey:
    """The key that is to be turned off."""
    return idle.keys(slug)[0]


def begun(idle: House, slug: str) -> Operation:
    """Let the clock begin what is due, when it is due; return the operation."""
    at = old_key(idle, slug).turn_off_at
    assert at is not None
    clock = Timekeeper(idle.services)
    clock.tick(at - timedelta(seconds=1))
    assert unfinished(idle, slug) == []
    clock.tick(at)
    [operation] = unfinished(idle, slug)
    assert isinstance(operation, Operation)
    return operation


def until_given_up(idle: House, slug: str, fail: Callable[[Operation], Any]) -> list[timedelta]:
    """Let what is due fail until the clock begins it no more; return the pauses in between."""
    pauses: list[timedelta] = []
    while old_key(idle, slug).failed_tries < CLOCK_TRIES:
        before = utc_now()
        fail(begun(idle, slug))
        at = old_key(idle, slug).turn_off_at
        assert at is not None
        pauses.append(timedelta(minutes=round((at - before) / timedelta(minutes=1))))
    Timekeeper(idle.services).tick(utc_now() + 2 * LONGEST_PAUSE)
    assert unfinished(idle, slug) == []
    return pauses


def last_update(idle: House, slug: str) -> Operation:
    """The client's last operation."""
    query = select(Operation).where(Operation.client_id == idle.client(slug).id)
    with transaction(idle.services.database, write=False) as session:
        return session.exec(query.order_by(col(Operation.created_at).desc())).first()  # type: ignore[return-value]


def test_what_is_refused_for_good_is_tried_ever_later_and_given_up_in_sight(
    idle: House, due: str, hands: Hands, denied_hands: Hands
) -> None:
    pauses = until_given_up(idle, due, lambda operation: denied_hands.drive(operation.id))
    hours = [pause / timedelta(hours=1) for pause in pauses]
    assert hours == [0.25, 0.5, 1, 2, 4, 8, 16, *[24] * 7]
    assert "does not try again by itself" in (last_update(idle, due).next_step or "")
    assert actions(idle, due).count("key.due_work_given_up") == 1
    assert idle.api.get("/v1/queue").json()["keys_given_up"] == 1
    checks = idle.api.get("/readyz").json()["checks"]
    [clock] = [check for check in checks if check["name"] == "clock"]
    assert clock["ok"]
    assert "keys whose due work it gave up: 1" in clock["detail"]

    repair = idle.api.post(f"/v1/clients/{due}/refresh", params={"repair": "true"})
    hands.drive(repair.json()["id"])
    assert idle.api.get("/v1/queue").json()["keys_given_up"] == 0
    hands.drive(begun(idle, due).id)
    key = old_key(idle, due)
    assert (key.turn_off_at, key.failed_tries) == (None, 0)
    assert held_keys(idle, due)[str(key.access_key_id)] == "Inactive"


def test_a_success_forgets_the_failures_before_it(
    idle: House, due: str, hands: Hands, denied_hands: Hands
) -> None:
    denied_hands.drive(begun(idle, due).id)
    assert "tries again by itself" in (last_update(idle, due).next_step or "")
    hands.drive(begun(idle, due).id)
    assert old_key(idle, due).failed_tries == 0


def test_what_kills_its_workers_is_given_up_soon(idle: House, due: str, hands: Hands) -> None:
    """Each try costs five deaths of a worker, and whatever it was doing beside."""

    def die(operation: Operation) -> None:
        for _ in range(TRIES + 1):
            ticket = Ticket(operation.id, operation.run)
            begin(hands.work, ticket)
            with under_way(hands.work, ticket):
                pass  # killed, so that nothing of it ends
        assert hands.operation(operation.id).failure_code == GAVE_UP

    pauses = until_given_up(idle, due, die)
    assert len(pauses) == -(-CLOCK_TRIES // DEATHS_WEIGH) == 3
    answer = idle.api.post(f"/v1/operations/{last_update(idle, due).id}/retry")
    assert answer.status_code == 202, answer.text
    hands.drive(answer.json()["id"])
    assert old_key(idle, due).failed_tries == 0


@pytest.mark.parametrize("running", [False, True])
def test_what_somebody_cancels_is_begun_again_a_while_later(
    idle: House, due: str, hands: Hands, running: bool
) -> None:
    """And not at the clock's next look; it is no failure."""
    operation = begun(idle, due)
    if running:
        hands.drive(operation.id, before="retire", act=lambda: cancel(idle, operation.id))
    else:
        cancel(idle, operation.id)
    assert hands.operation(operation.id).state == "cancelled"
    Timekeeper(idle.services).tick()
    assert unfinished(idle, due) == []
    assert old_key(idle, due).failed_tries == 0
    hands.drive(begun(idle, due).id)
