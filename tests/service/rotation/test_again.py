"""Steps that run again: each one twice, and all of them anew after any, as a takeover does."""

from datetime import timedelta

import pytest

from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationKind, OperationState
from service.worker.endings import GAVE_UP, TRIES, give_up
from service.worker.patience import carry_out
from service.worker.plans import PLANS
from service.worker.timekeeper import Timekeeper
from service.worker.work import Ticket
from tests.service.house import House
from tests.service.rotation.test_rotate import records
from tests.service.suspension.hands import Hands, actions, held_keys, living, works

CASES = [
    (kind, after)
    for kind in (OperationKind.rotate, OperationKind.repair, OperationKind.update)
    for after in range(1, len(PLANS[kind].steps))
]


def ask(house: House, hands: Hands, slug: str, kind: OperationKind) -> str:
    """Ask for an operation that has something to do; return its id."""
    client = f"/v1/clients/{slug}"
    if kind is OperationKind.rotate:
        return str(house.api.post(f"{client}/rotate").json()["id"])
    if kind is OperationKind.repair:
        [lost] = house.keys(slug)
        house.iam.delete_access_key(UserName=slug, AccessKeyId=lost.access_key_id)
        return str(house.api.post(f"{client}/refresh", params={"repair": "true"}).json()["id"])
    hands.drive(house.api.post(f"{client}/rotate").json()["id"])
    Timekeeper(house.services).tick(utc_now() + timedelta(days=8))
    return next(o.id for o in house.unfinished() if o.client_id == house.client(slug).id)


def anew(house: House, operation_id: str) -> Ticket:
    """The next run of the operation, as a worker that takes it over begins it."""
    with transaction(house.services.database) as session:
        operation = session.get_one(Operation, operation_id)
        operation.run += 1
        return Ticket(operation.id, operation.run)


@pytest.mark.parametrize(("kind", "after"), CASES)
def test_a_run_that_begins_anew_ends_the_same(
    kind: OperationKind, after: int, idle: House, slug: str, hands: Hands
) -> None:
    """So many keys and records as are due, whatever was done before."""
    operation = ask(idle, hands, slug, kind)
    steps = hands.steps(operation)
    for _ in range(after):
        next(steps)
    next(steps)
    ticket, plan = anew(idle, operation), PLANS[kind].steps
    for step in plan:
        assert carry_out(hands.work, ticket, step.function) is None
        if step is not plan[-1]:
            assert carry_out(hands.work, ticket, step.function) is None

    assert hands.operation(operation).state is OperationState.succeeded
    keys = living(idle.keys(slug))
    assert set(held_keys(idle, slug)) == {key.access_key_id for key in keys}
    assert len(keys) == (1 if kind is OperationKind.repair else 2)
    assert works(idle, keys[-1])
    assert len(records(idle, slug)) == len(idle.keys(slug)) == 2
    assert actions(idle, slug).count("record.created") == 2


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("then", ["rotate", "refresh?repair=true"])
def test_what_a_rotation_that_was_given_up_made_costs_no_key_in_use(
    then: str, *, made: bool, idle: House, slug: str, hands: Hands
) -> None:
    """Its key reached nobody: the next work takes it away, and the key in use works on."""
    [used] = living(idle.keys(slug))
    given_up = ask(idle, hands, slug, OperationKind.rotate)
    steps = hands.steps(given_up)
    while next(steps) != ("hand over" if made else "make room"):
        pass
    give_up(hands.work, Ticket(given_up, 1), TRIES)
    assert hands.operation(given_up).failure_code == GAVE_UP
    assert len(held_keys(idle, slug)) == 1 + made

    answer = idle.api.post(f"/v1/clients/{slug}/{then}")
    assert answer.status_code == 202, answer.text
    hands.drive(answer.json()["id"])
    assert hands.operation(answer.json()["id"]).state is OperationState.succeeded
    assert held_keys(idle, slug)[str(used.access_key_id)] == "Active"
    due = 2 if then == "rotate" else 1
    assert len(living(idle.keys(slug))) == len(held_keys(idle, slug)) == due
