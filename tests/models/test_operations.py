"""Operations: one function moves state, one unfinished operation a client, events in order."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from models import (
    Actor,
    Client,
    EventKind,
    Failure,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
)
from models.database import transaction
from models.operations import (
    UNFINISHED,
    FailureRequired,
    add_event,
    begin_attempt,
    transition,
    unfinished_operation,
)
from models.states import IllegalTransition
from tests.models.factories import make_client, make_operation

PERMITTED = {
    ("awaiting_approval", "pending"),
    ("awaiting_approval", "cancelled"),
    ("pending", "running"),
    ("pending", "failed"),
    ("pending", "cancelled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("failed", "pending"),
}
FAILURE = Failure(
    code="aws:AccessDenied",
    detail="AWS refused to make the user.",
    next_step="Ask for iam:CreateUser and try again.",
    rolled_back=["placeholder object"],
)


@pytest.fixture
def client(engine: Engine, actor: Actor) -> Client:
    with transaction(engine) as session:
        return make_client(session, actor)


def failure_for(state: OperationState) -> Failure | None:
    return FAILURE if state is OperationState.failed else None


@pytest.mark.parametrize("origin", OperationState)
@pytest.mark.parametrize("to", OperationState)
def test_an_operation_moves_only_as_permitted(
    sqlite_engine: Engine, origin: OperationState, to: OperationState
) -> None:
    with transaction(sqlite_engine) as session:
        actor = Actor(name="somebody")
        session.add(actor)
        operation = make_operation(session, make_client(session, actor), actor, state=origin)
        if (origin.value, to.value) in PERMITTED:
            transition(operation, to, failure=failure_for(to))
            assert operation.state is to
        else:
            with pytest.raises(IllegalTransition, match=f"is {origin} and cannot become {to}"):
                transition(operation, to, failure=failure_for(to))
            assert operation.state is origin


def test_a_retry_in_place_forgets_how_the_run_before_ended(
    engine: Engine, client: Client, actor: Actor
) -> None:
    with transaction(engine) as session:
        operation = make_operation(session, client, actor)
        begin_attempt(operation)
        operation.worker = "one"
        transition(operation, OperationState.failed, failure=FAILURE)
        transition(operation, OperationState.pending)
        assert (operation.run, operation.attempts) == (2, 0)
        assert [operation.failure_code, operation.failure_detail, operation.next_step] == [None] * 3
        assert [operation.worker, operation.finished_at] == [None] * 2
        assert operation.rolled_back == []
        events = session.exec(select(OperationEvent).order_by(col(OperationEvent.sequence))).all()
    told = [event.data for event in events]
    assert told[-1] == {"from": "failed", "to": "pending"}


def test_the_path_of_a_success_is_told_by_events(
    engine: Engine, client: Client, actor: Actor
) -> None:
    with transaction(engine) as session:
        operation = make_operation(session, client, actor)
        begin_attempt(operation)
        add_event(operation, EventKind.resource, {"name": "user", "status": "created"})
        transition(operation, OperationState.succeeded)
    with transaction(engine, write=False) as session:
        events = session.exec(select(OperationEvent).order_by(col(OperationEvent.sequence))).all()
        kept = session.get_one(Operation, operation.id)
    assert [(event.sequence, event.kind.value, event.data) for event in events] == [
        (1, "state", {"from": "pending", "to": "running"}),
        (2, "resource", {"name": "user", "status": "created"}),
        (3, "state", {"from": "running", "to": "succeeded"}),
    ]
    assert kept.started_at is not None
    assert kept.finished_at is not None
    assert kept.started_at <= kept.finished_at
    assert kept.attempts == 1


def test_a_failure_is_kept_whole(engine: Engine, client: Client, actor: Actor) -> None:
    with transaction(engine) as session:
        operation = make_operation(session, client, actor)
        transition(operation, OperationState.running)
        event = transition(operation, OperationState.failed, failure=FAILURE)
        assert event.data == {"from": "running", "to": "failed", "code": "aws:AccessDenied"}
    with transaction(engine, write=False) as session:
        kept = session.get_one(Operation, operation.id)
    assert (kept.failure_code, kept.failure_detail) == (FAILURE.code, FAILURE.detail)
    assert (kept.rolled_back, kept.next_step) == (["placeholder object"], FAILURE.next_step)


@pytest.mark.parametrize(
    ("to", "failure"), [(OperationState.failed, None), (OperationState.running, FAILURE)]
)
def test_only_what_ends_without_success_has_a_failure(
    engine: Engine, client: Client, actor: Actor, to: OperationState, failure: Failure | None
) -> None:
    with transaction(engine) as session:
        operation = make_operation(session, client, actor)
        with pytest.raises(FailureRequired):
            transition(operation, to, failure=failure)
        assert operation.state is OperationState.pending


def test_a_step_repeated_after_a_crash_counts_an_attempt(
    engine: Engine, client: Client, actor: Actor
) -> None:
    with transaction(engine) as session:
        operation = make_operation(session, client, actor)
        begin_attempt(operation)
        started = operation.started_at
        begin_attempt(operation)
        assert (operation.attempts, operation.started_at) == (2, started)
        assert operation.state is OperationState.running


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_one_unfinished_operation_a_client(
    engine: Engine, client: Client, actor: Actor, state: OperationState
) -> None:
    with transaction(engine) as session:
        first = make_operation(session, client, actor, state=state)
    with transaction(engine) as session:
        with pytest.raises(IntegrityError):
            make_operation(session, client, actor, kind=OperationKind.close)
        session.rollback()
    with transaction(engine, write=False) as session:
        found = unfinished_operation(session, client.id)
        assert found is not None
        assert found.id == first.id


def test_finished_operations_stand_in_nobodys_way(
    engine: Engine, client: Client, actor: Actor
) -> None:
    with transaction(engine) as session:
        for _ in range(3):
            transition(make_operation(session, client, actor), OperationState.cancelled)
        assert unfinished_operation(session, client.id) is None
        make_operation(session, client, actor)


def test_of_many_requests_at_once_one_gets_the_operation(
    engine: Engine, client: Client, actor: Actor
) -> None:
    def request(_number: int) -> bool:
        try:
            with transaction(engine) as session:
                make_operation(session, client, actor)
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(request, range(20))) == 1


def test_events_written_at_once_get_a_place_each(
    engine: Engine, client: Client, actor: Actor
) -> None:
    with transaction(engine) as session:
        operation = make_operation(session, client, actor)

    def write(_number: int) -> None:
        with transaction(engine) as session:
            add_event(session.get_one(Operation, operation.id), EventKind.log, {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    with transaction(engine, write=False) as session:
        sequences = session.exec(select(OperationEvent.sequence)).all()
    assert sorted(sequences) == list(range(1, 25))


def test_an_operation_outside_a_session_is_refused() -> None:
    operation = Operation(client_id="a", kind=OperationKind.open, requested_by="b")
    with pytest.raises(TypeError, match="no session"):
        transition(operation, OperationState.running)
