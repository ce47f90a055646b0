"""Workers: the processes that carry out operations, each under a stable name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func
from sqlmodel import Field, Session, col, or_, select

from models.base import Table, UtcDateTime, utc_now
from models.operations import Operation, OperationState

BEAT_SECONDS = 1.0
"""How often a worker that shares its database writes that it lives."""
SOLE_BEAT_SECONDS = 10.0
"""The same on SQLite, which has one worker: each beat costs the disk a flush."""
DEAD_AFTER = {"postgresql": 6.0, "sqlite": 25.0}
"""Seconds without a sign of life after which others take a worker's operations over. Longer than
a worker needs to see that it is cut off and to end itself (`service.worker.presence`)."""


WORKABLE = (OperationState.pending, OperationState.running)
"""States of operations that are a worker's to carry out."""


class WorkerRow(Table, table=True):
    """One worker as it was last seen. `draining`: it ends what it has and takes nothing new.

    `backend` names the place of its Pulumi state, without credentials. `circuit_open_since`: AWS
    has not answered it since then; `clock_stands_since`: its timekeeper does not look after what
    falls due since then. Times are the database's own, as machines' clocks differ.
    """

    __tablename__ = "workers"

    name: str = Field(primary_key=True, max_length=64)
    version: str = Field(max_length=32)
    host: str = Field(max_length=255)
    process_id: int
    backend: str | None = Field(default=None, max_length=512)
    draining: bool = False
    circuit_open_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    clock_stands_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    started_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    seen_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    stopped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def database_now(session: Session) -> datetime:
    """Return the present moment by the database's clock, which all workers share."""
    if session.connection().dialect.name == "sqlite":
        return utc_now()
    # `now()` would be the moment at which the transaction began.
    moment: datetime = session.connection().execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def dead_before(session: Session) -> datetime:
    """Return the moment that a living worker must have been seen after."""
    seconds = DEAD_AFTER[session.connection().dialect.name]
    return database_now(session) - timedelta(seconds=seconds)


def live_workers(session: Session) -> Sequence[WorkerRow]:
    """Return the workers that live, by name; those that drain are among them."""
    living = (col(WorkerRow.stopped_at).is_(None), col(WorkerRow.seen_at) > dead_before(session))
    return session.exec(select(WorkerRow).where(*living).order_by(WorkerRow.name)).all()


def dead_claimants(session: Session, but: str) -> list[str]:
    """Return the dead workers that may still stand in the way of others.

    Unfinished operations are claimed under their names; or they never said that they stopped, so
    that one that is frozen may hold the turn of a client whose operation has ended. ``but`` is the
    asking worker's own name. A worker that claims has a row, which stays as long as its claims.
    """
    claimants = select(Operation.worker).where(col(Operation.state).in_(WORKABLE))
    dead = or_(
        col(WorkerRow.stopped_at).is_not(None), col(WorkerRow.seen_at) <= dead_before(session)
    )
    query = select(WorkerRow.name).where(
        dead,
        WorkerRow.name != but,
        or_(col(WorkerRow.name).in_(claimants), col(WorkerRow.stopped_at).is_(None)),
    )
    return list(session.exec(query.order_by(WorkerRow.name)).all())
