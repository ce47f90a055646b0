"""Operations: wishes to change an area, their events, and the function that moves their state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Index, text
from sqlalchemy.orm import declared_attr, object_session
from sqlmodel import Field, Session, UniqueConstraint, col, select, update

from models.base import (
    BigCounter,
    JsonColumn,
    Table,
    UtcDateTime,
    enum_column,
    is_new,
    new_id,
    references,
    utc_now,
)
from models.states import check_transition


class OperationKind(StrEnum):
    """What the operation is to do to the client's area."""

    open = "open"
    update = "update"
    close = "close"
    reopen = "reopen"
    rotate = "rotate"
    repair = "repair"


class OperationState(StrEnum):
    """Where the operation stands."""

    awaiting_approval = "awaiting_approval"
    pending = "pending"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


class CancelMode(StrEnum):
    """What becomes of what a cancelled operation has made so far."""

    roll_back = "roll_back"
    leave = "leave"


class Priority(IntEnum):
    """Who goes first when there is more work than room: the lower number."""

    urgent = 0
    normal = 10


class EventKind(StrEnum):
    """What an event tells: a new state, a step of the work, a resource's progress, a log line."""

    state = "state"
    step = "step"
    resource = "resource"
    log = "log"


OPERATION_TRANSITIONS: Mapping[OperationState, frozenset[OperationState]] = {
    OperationState.awaiting_approval: frozenset({OperationState.pending, OperationState.cancelled}),
    OperationState.pending: frozenset(
        {OperationState.running, OperationState.failed, OperationState.cancelled}
    ),
    OperationState.running: frozenset(
        {OperationState.succeeded, OperationState.failed, OperationState.cancelled}
    ),
    OperationState.succeeded: frozenset(),
    OperationState.failed: frozenset({OperationState.pending}),
    OperationState.cancelled: frozenset(),
}
"""To which states an operation may move from each; `transition` refuses every other move. From
`failed` it becomes `pending` again only by a retry, in place. What was not approved is `cancelled`,
never `failed`, so that no retry starts it."""

UNFINISHED = frozenset(
    {OperationState.awaiting_approval, OperationState.pending, OperationState.running}
)
"""States of an operation that is still to be decided or done."""

_UNFINISHED_SQL = "state IN ('awaiting_approval', 'pending', 'running')"


class Operation(Table, table=True):
    """One wish to change a client's area; one unfinished operation a client is permitted.

    `parameters` holds references, never a secret. A failed one has a code, a plain sentence, what
    was rolled back and what to do next. `progress_total` is 0 while it is unknown. `run` counts
    the retries in place from 1, `attempts` how often a worker took this run up. `worker` is the
    name of the worker that has claimed it. `waiting_for` says in plain words what it waits for.
    `under_way`: a step goes on, or did when its worker died; while it waits none does. `deaths`
    counts how often a worker died in it.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index(
            "uq_operations_unfinished",
            "client_id",
            unique=True,
            sqlite_where=text(_UNFINISHED_SQL),
            postgresql_where=text(_UNFINISHED_SQL),
        ),
        Index("ix_operations_state_priority_created_at", "state", "priority", "created_at"),
        Index("ix_operations_client_id_created_at", "client_id", "created_at"),
        Index("ix_operations_created_at_id", "created_at", "id"),
        Index("ix_operations_finished_at", "finished_at"),
    )

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.revision}  # type: ignore[attr-defined]

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    client_id: str = Field(sa_column_args=references("clients.id"))
    kind: OperationKind = Field(sa_type=enum_column(OperationKind))
    state: OperationState = Field(
        default=OperationState.pending, sa_type=enum_column(OperationState)
    )
    step: str | None = Field(default=None, max_length=64)
    progress_done: int = 0
    progress_total: int = 0
    failure_code: str | None = Field(default=None, max_length=64)
    failure_detail: str | None = None
    rolled_back: list[str] = Field(default_factory=list, sa_type=JsonColumn)
    next_step: str | None = None
    requested_by: str = Field(sa_column_args=references("actors.id"))
    reason: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=JsonColumn)
    attempts: int = 0
    under_way: bool = False
    deaths: int = 0
    priority: int = Priority.normal
    run: int = 1
    worker: str | None = Field(default=None, max_length=64)
    waiting_for: str | None = None
    deadline_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cancel_requested_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cancel_mode: CancelMode | None = Field(default=None, sa_type=enum_column(CancelMode))
    event_count: int = 0
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revision: int = 1


class OperationEvent(Table, table=True):
    """Something that happened in an operation; `sequence` counts from 1 in each operation.

    Event streams resume by `sequence`: ids of two transactions may appear out of order.
    """

    __tablename__ = "operation_events"
    __table_args__ = (UniqueConstraint("operation_id", "sequence"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigCounter)
    operation_id: str = Field(sa_column_args=references("operations.id"))
    sequence: int
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    kind: EventKind = Field(sa_type=enum_column(EventKind))
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JsonColumn)


@dataclass(frozen=True)
class Failure:
    """Why an operation failed: stable code, plain sentence, what was undone, what to do next."""

    code: str
    detail: str
    next_step: str
    rolled_back: list[str] = field(default_factory=list)


class FailureRequired(TypeError):
    """An operation becomes `failed` with a Failure, `cancelled` with or without, others without."""


def transition(
    operation: Operation,
    to: OperationState,
    *,
    failure: Failure | None = None,
    at: datetime | None = None,
) -> OperationEvent:
    """Move an operation to another state and write the event that tells it.

    The one function that moves state. `failure` goes with `failed`, and with `cancelled` where
    there is more to tell than that. The operation must belong to a session; nothing is committed.
    Raises IllegalTransition when OPERATION_TRANSITIONS does not permit the move, FailureRequired,
    and StaleDataError when another transaction changed the operation meanwhile.
    """
    permitted = (OperationState.failed, OperationState.cancelled)
    if (to is OperationState.failed and failure is None) or (failure and to not in permitted):
        raise FailureRequired(f"{to} given {'without a' if failure is None else 'with a'} Failure.")
    check_transition(OPERATION_TRANSITIONS, operation.state, to, f"Operation {operation.id}")
    moment = at or utc_now()
    data: dict[str, Any] = {"from": operation.state.value, "to": to.value}
    if operation.state is OperationState.failed:
        _begin_anew(operation)
    operation.state = to
    if to is OperationState.running:
        operation.started_at = operation.started_at or moment
        operation.attempts += 1
    if to not in UNFINISHED:
        operation.finished_at = moment
    if failure is not None:
        _write_failure(operation, failure)
        data["code"] = failure.code
    return add_event(operation, EventKind.state, data, at=moment)


def begin_attempt(operation: Operation) -> None:
    """Take up the work: a pending operation starts to run, a running one counts one more attempt.

    Safe to call again when a step is repeated after a crash.
    """
    if operation.state is OperationState.running:
        operation.attempts += 1
        return
    transition(operation, OperationState.running)


def note_under_way(operation: Operation) -> None:
    """Note that something of the operation goes on; found so noted already, its worker died."""
    operation.deaths += operation.under_way
    operation.under_way = True


class NewEvent(NamedTuple):
    """An event that is to be appended; `data` is shown to whoever may read the operation."""

    kind: EventKind
    data: dict[str, Any]
    at: datetime


def add_event(
    operation: Operation, kind: EventKind, data: dict[str, Any], *, at: datetime | None = None
) -> OperationEvent:
    """Append one event to the operation's stream, in the caller's transaction; no secrets."""
    [event] = add_events(operation, [NewEvent(kind, data, at or utc_now())])
    return event


def add_events(operation: Operation, new: Sequence[NewEvent]) -> list[OperationEvent]:
    """Append events to the operation's stream in their order, in the caller's transaction."""
    session = _session_of(operation)
    if is_new(operation):
        # Nobody else knows its row, so that it goes into the database with its count.
        operation.event_count += len(new)
        return _write_events(session, operation.id, operation.event_count, new)
    session.flush()
    return add_progress(session, operation.id, new, {})


def add_progress(
    session: Session, operation_id: str, new: Sequence[NewEvent], columns: Mapping[str, Any]
) -> list[OperationEvent]:
    """Append events by the operation's id, and set `columns` that tell its progress.

    Neither makes the row's next revision: who changes an operation is not disturbed by it.
    """
    # The row's lock keeps two writers from taking one sequence (PostgreSQL; SQLite has one writer).
    count = (
        update(Operation)
        .where(col(Operation.id) == operation_id)
        .values(event_count=col(Operation.event_count) + len(new), **columns)
        .returning(col(Operation.event_count))
        .execution_options(synchronize_session=False)
    )
    return _write_events(
        session, operation_id, session.connection().execute(count).scalar_one(), new
    )


def _write_events(
    session: Session, operation_id: str, count: int, new: Sequence[NewEvent]
) -> list[OperationEvent]:
    """Write the events that bring the operation's to `count`."""
    events = [
        OperationEvent(operation_id=operation_id, sequence=sequence, **event._asdict())
        for sequence, event in enumerate(new, start=count - len(new) + 1)
    ]
    session.add_all(events)
    session.flush()
    return events


def unfinished_operation(session: Session, client_id: str) -> Operation | None:
    """The client's unfinished operation, or None."""
    states = col(Operation.state).in_(sorted(UNFINISHED))
    return session.exec(
        select(Operation).where(Operation.client_id == client_id, states)
    ).one_or_none()


def _session_of(operation: Operation) -> Session:
    session = object_session(operation)
    if not isinstance(session, Session):
        raise TypeError(f"Operation {operation.id} belongs to no session; add it to one first.")
    return session


def _begin_anew(operation: Operation) -> None:
    """Forget how the run before ended: its events stay and tell it."""
    operation.run += 1
    operation.attempts = operation.deaths = 0
    operation.under_way = False
    operation.step = operation.worker = operation.waiting_for = None
    operation.started_at = operation.finished_at = operation.deadline_at = None
    operation.cancel_requested_at = operation.cancel_mode = None
    operation.failure_code = operation.failure_detail = operation.next_step = None
    operation.rolled_back = []


def _write_failure(operation: Operation, failure: Failure) -> None:
    operation.failure_code = failure.code
    operation.failure_detail = failure.detail
    operation.rolled_back = list(failure.rolled_back)
    operation.next_step = failure.next_step
