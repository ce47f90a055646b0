"""Who works on what: claiming pending operations in turn, and freeing those of dead workers.

The operation's row says who has claimed it. Claims skip rows that another worker is claiming at
the same instant, so that many workers share one table without waiting for each other.
"""

import logging
from typing import NamedTuple

from sqlalchemy import Engine
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from models.base import utc_now
from models.database import transaction
from models.operations import EventKind, Operation, OperationState, Priority, add_event
from models.workers import WORKABLE, dead_claimants
from service.worker.locks import Locks
from service.worker.work import Ticket

log = logging.getLogger(__name__)

RELEASE_BATCH = 200


class Room(NamedTuple):
    """How many operations a worker may take: of any kind, and urgent ones beside them."""

    normal: int
    urgent: int


class Claim(NamedTuple):
    """A run that a worker has claimed."""

    ticket: Ticket
    state: OperationState
    urgent: bool


def claim(database: Engine, name: str, room: Room) -> list[Claim]:
    """Claim what nobody has, urgent work first, then the oldest; at most as much as there is room.

    Urgent work may fill all the room, other work only the normal one.
    """
    with transaction(database, write=False) as session:
        # A look first: SQLite has one writer, and most of the time there is nothing to claim.
        if session.exec(_unclaimed().limit(1)).first() is None:
            return []
    with transaction(database) as session:
        urgent = _take(session, name, room.urgent, urgent=True)
        spare = min(room.normal, room.urgent - len(urgent))
        return urgent + _take(session, name, spare, urgent=False)


def claimed(database: Engine, name: str) -> list[Claim]:
    """Return the unfinished runs that the worker has claimed, in turn."""
    query = (
        select(Operation.id, Operation.run, Operation.state, Operation.priority)
        .where(col(Operation.state).in_(WORKABLE), Operation.worker == name)
        .order_by(col(Operation.priority), col(Operation.created_at))
    )
    with transaction(database, write=False) as session:
        return [
            Claim(Ticket(row_id, run), OperationState(state), priority == Priority.urgent)
            for row_id, run, state, priority in session.exec(query).all()
        ]


def renew(database: Engine, ticket: Ticket, *, attempted: bool = True) -> Ticket | None:
    """Begin the next run of an unfinished operation in place, or None when the run is over.

    Unless it was ``attempted``, the run that ends is not counted.
    """
    with transaction(database) as session:
        operation = session.get_one(Operation, ticket.operation_id, with_for_update=True)
        if operation.finished_at is not None or operation.run != ticket.run:
            return None
        operation.run += 1
        if not attempted:
            operation.attempts = max(operation.attempts - 1, 0)
            operation.under_way = False
        return Ticket(operation.id, operation.run)


def hand_back(database: Engine, name: str) -> int:
    """Free what a worker that stops could not end, such as what waits for AWS; return how many.

    Nothing of it may still run. It does not count as an attempt, as no worker died in it.
    """
    query = select(Operation).where(col(Operation.state).in_(WORKABLE), Operation.worker == name)
    with transaction(database) as session:
        operations = session.exec(query.with_for_update(skip_locked=True)).all()
        for operation in operations:
            operation.run += 1
            operation.attempts = max(operation.attempts - 1, 0)
            operation.under_way = False
            operation.worker = None
    return len(operations)


def free_the_dead(database: Engine, name: str, locks: Locks) -> int:
    """Free the operations of workers that are dead, for whoever has room; return how many.

    Each gets its next run: should the dead one wake up, its own run is over. Its name is held
    meanwhile, so that it can't start again in the middle.
    """
    with transaction(database, write=False) as session:
        dead = dead_claimants(session, but=name)
    freed = 0
    for other in dead:
        if not locks.try_name(other):
            # Either it has just started again, or its machine vanished: then its session has to go.
            with transaction(database, write=False) as session:
                still_dead = other in dead_claimants(session, but=name)
            if still_dead:
                locks.end_holder(other)
            continue
        try:
            freed += _free(database, name, other)
        finally:
            locks.free_name(other)
    return freed


def _free(database: Engine, name: str, dead: str) -> int:
    query = (
        select(Operation)
        .where(col(Operation.state).in_(WORKABLE), Operation.worker == dead)
        .order_by(col(Operation.priority), col(Operation.created_at))
        .limit(RELEASE_BATCH)
        .with_for_update(skip_locked=True)
    )
    with transaction(database) as session:
        if dead not in dead_claimants(session, but=name):
            return 0
        operations = session.exec(query).all()
        for operation in operations:
            operation.run += 1
            operation.worker = None
            message = f"worker {dead} is gone; another one carries on"
            add_event(operation, EventKind.log, {"message": message}, at=utc_now())
    if operations:
        log.warning("worker %s is gone; %d of its operations are free", dead, len(operations))
    return len(operations)


def _unclaimed() -> SelectOfScalar[Operation]:
    return (
        select(Operation)
        .where(col(Operation.state).in_(WORKABLE), col(Operation.worker).is_(None))
        .order_by(col(Operation.priority), col(Operation.created_at))
    )


def _take(session: Session, name: str, most: int, *, urgent: bool) -> list[Claim]:
    if most <= 0:
        return []
    priority = col(Operation.priority)
    wanted = priority == Priority.urgent if urgent else priority > Priority.urgent
    found = session.exec(
        _unclaimed().where(wanted).limit(most).with_for_update(skip_locked=True)
    ).all()
    for operation in found:
        operation.worker = name
    return [Claim(Ticket(row.id, row.run), row.state, urgent) for row in found]
