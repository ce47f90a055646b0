"""Steps that run again: each one twice, and all of them anew after any, as a takeover does."""

from datetime import timedelta

import pytest

from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationKind, OperationState
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
