"""How much work waits, for how long, and who is there to do it."""

import math
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from models.base import utc_now
from models.operations import UNFINISHED, Operation, OperationState, Priority
from models.workers import WorkerRow, live_workers
from service import problems
from service.problems import Problem

RATE_WINDOW = timedelta(minutes=1)
_KNOWN_SECONDS, _FULL_SECONDS = 1.0, 0.1
"""How long a count of the queue is believed, and how long that it is full; what this process
admits meanwhile is added."""
_PACE_SECONDS = 5.0
"""How long the pace is believed: refusals come in crowds, and it takes a look at all operations."""
_LONGEST_WAIT = 300
_ROOM = 0.1
"""Part of the limit that should be free before it is worth to ask again."""


@dataclass(frozen=True)
class Depth:
    """How many operations of one state and priority there are, and the oldest one's birth."""

    state: OperationState
    priority: Priority
    count: int
    oldest_at: datetime


def depths(session: Session) -> list[Depth]:
    """Return what is unfinished, urgent first; by state in each priority."""
    query = (
        select(
            Operation.state,
            Operation.priority,
            func.count(),
            func.min(col(Operation.created_at), type_=Operation.created_at.type),  # type: ignore[attr-defined]
        )
        .where(col(Operation.state).in_(sorted(UNFINISHED)))
        .group_by(col(Operation.state), col(Operation.priority))
        .order_by(col(Operation.priority), col(Operation.state))
    )
    return [
        Depth(OperationState(state), Priority(priority), count, oldest)
        for state, priority, count, oldest in session.exec(query).all()
    ]


def depth(session: Session) -> int:
    """Return how many operations are unfinished: those too that wait for somebody's approval.

    An approval makes work that nobody may refuse any more, so that it takes its place beforehand.
    """
    query = select(func.count()).select_from(Operation)
    return session.exec(query.where(col(Operation.state).in_(sorted(UNFINISHED)))).one()


def rate(session: Session) -> float:
    """Return how many operations ended a second, lately."""
    query = select(func.count()).select_from(Operation)
    ended = session.exec(query.where(col(Operation.finished_at) > utc_now() - RATE_WINDOW)).one()
    return ended / RATE_WINDOW.total_seconds()


def aws_away_since(session: Session) -> datetime | None:
    """Return since when AWS has not answered a living worker, or None while it does."""
    since = [row.circuit_open_since for row in live_workers(session) if row.circuit_open_since]
    return min(since, default=None)


def clock_stands_since(session: Session) -> datetime | None:
    """Return since when no clock looks after what falls due, or None while one goes; one does all.

    None as well where no worker lives: then there is more to tell than that.
    """
    since = [row.clock_stands_since for row in live_workers(session) if not row.draining]
    standing = [moment for moment in since if moment is not None]
    return max(standing) if standing and len(standing) == len(since) else None


def workers(session: Session) -> list[tuple[WorkerRow, bool]]:
    """Return all known workers by name, and whether each lives."""
    living = {row.name for row in live_workers(session)}
    rows = session.exec(select(WorkerRow).order_by(WorkerRow.name)).all()
    return [(row, row.name in living) for row in rows]


class QueueLimit:
    """Refuses new areas once so many operations are unfinished; closing is never refused.

    Past it, callers would wait for work that nobody gets to, and the database would grow.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._mutex = threading.Lock()
        self._depth = 0
        self._pace = 0.0
        self._paced_at = -_PACE_SECONDS - 1
        self._counted_at = -_KNOWN_SECONDS - 1

    def admit(self, session: Session) -> None:
        """Raise the 429 when one more operation would be too many."""
        with self._mutex:
            believed = _KNOWN_SECONDS if self._depth < self._limit else _FULL_SECONDS
            if time.monotonic() - self._counted_at > believed:
                self._depth = depth(session)
                self._counted_at = time.monotonic()
            known = self._depth
            if known < self._limit:
                self._depth += 1
                return
            if time.monotonic() - self._paced_at > _PACE_SECONDS:
                self._pace, self._paced_at = rate(session), time.monotonic()
            seconds = self._wait(known, self._pace)
        raise Problem(
            problems.QUEUE_FULL,
            f"{known} operations are unfinished, and {self._limit} is the limit. Nothing was made.",
            members={"unfinished": known, "limit": self._limit},
            headers={"Retry-After": str(seconds)},
        )

    def _wait(self, known: int, pace: float) -> int:
        """Return the seconds until there will be some room, at the pace of the last minute."""
        if not pace:
            return 60
        surplus = known - self._limit * (1 - _ROOM)
        return min(_LONGEST_WAIT, max(1, math.ceil(surplus / pace)))
