"""What is kept no longer than it is of use: idempotency keys, workers gone, the engine's notes."""

import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine
from sqlmodel import col, delete, select

from models.base import utc_now
from models.database import transaction
from models.idempotency import IdempotencyKey
from models.operations import Operation
from models.workers import WORKABLE, WorkerRow

KEEP_KEYS = timedelta(days=30)
"""How long a used idempotency key is known; a caller's retries are over long before."""
KEEP_WORKERS = timedelta(days=7)
EVERY_SECONDS = 600.0


class Retention:
    """Tidies up now and then; ``prune`` forgets old notes of the durable engine, by batches."""

    def __init__(self, database: Engine, prune: Callable[[], int]) -> None:
        self._database = database
        self._prune = prune
        self._due = time.monotonic() + EVERY_SECONDS

    def tidy(self) -> None:
        """Tidy up when it is due."""
        if time.monotonic() < self._due:
            return
        # What was too much for one batch comes with the next look.
        self._due = time.monotonic() + (0 if self._prune() else EVERY_SECONDS)
        forget_keys(self._database)
        forget_workers(self._database)


def forget_keys(database: Engine) -> int:
    """Delete idempotency keys older than `KEEP_KEYS`; return how many."""
    with transaction(database) as session:
        old = delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < utc_now() - KEEP_KEYS)
        return session.exec(old).rowcount


def forget_workers(database: Engine) -> int:
    """Delete workers not seen for `KEEP_WORKERS` that have no unfinished work; return how many."""
    with transaction(database) as session:
        claims = select(Operation.worker).where(
            col(Operation.state).in_(WORKABLE), col(Operation.worker).is_not(None)
        )
        old = delete(WorkerRow).where(
            col(WorkerRow.seen_at) < utc_now() - KEEP_WORKERS,
            col(WorkerRow.name).not_in(claims),
        )
        return session.exec(old).rowcount
