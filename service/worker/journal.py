"""Progress on its way into the database: coalesced, so that no resource waits for a commit.

An engine reports dozens of events within milliseconds from several threads. One thread writes
all that have gathered since its last commit in one transaction, and wakes who waits.
"""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from models.base import utc_now
from models.database import transaction
from models.operations import EventKind, NewEvent, add_progress
from service.hub import OperationHub

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.03
"""How long an event may wait for others, so that one commit serves them all."""


@dataclass(frozen=True)
class Entry:
    """One event to be written; ``done`` and ``total`` update the operation's progress."""

    operation_id: str
    kind: EventKind
    data: dict[str, Any]
    done: int | None = None
    total: int | None = None
    at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class _Flushed:
    event: threading.Event = field(default_factory=threading.Event)


class Journal:
    """Writes progress events; start it once, close it at the end."""

    def __init__(self, database: Engine, hub: OperationHub) -> None:
        self._database = database
        self._hub = hub
        self._queue: queue.SimpleQueue[Entry | _Flushed | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, entry: Entry) -> None:
        """Hand over one event; it is written soon."""
        self._queue.put(entry)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait, at most ``timeout`` seconds, until what was handed over before is written."""
        mark = _Flushed()
        self._queue.put(mark)
        mark.event.wait(timeout)

    def close(self) -> None:
        """Write what is left and end."""
        self._queue.put(None)
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while True:
            batch = self._gather()
            entries = [item for item in batch if isinstance(item, Entry)]
            if entries:
                self._write(entries)
            for item in batch:
                if isinstance(item, _Flushed):
                    item.event.set()
            if None in batch:
                return

    def _gather(self) -> list[Entry | _Flushed | None]:
        """Return what there is, once something is and a moment for more to come has passed."""
        batch = [self._queue.get()]
        deadline = time.monotonic() + GATHER_SECONDS
        while isinstance(batch[-1], Entry):
            try:
                batch.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return batch

    def _write(self, entries: list[Entry]) -> None:
        # Progress is for people who watch: losing some of it must not fail the work itself.
        try:
            with transaction(self._database) as session:
                for operation_id in dict.fromkeys(entry.operation_id for entry in entries):
                    mine = [entry for entry in entries if entry.operation_id == operation_id]
                    events = [NewEvent(entry.kind, entry.data, entry.at) for entry in mine]
                    add_progress(session, operation_id, events, _progress(mine))
        except SQLAlchemyError:
            log.exception("progress of %d events could not be written", len(entries))
            return
        for operation_id in {entry.operation_id for entry in entries}:
            self._hub.publish_progress(operation_id)


def _progress(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the columns of the operation that the entries change."""
    columns: dict[str, Any] = {}
    for entry in entries:
        if entry.done is not None:
            columns["progress_done"] = entry.done
        if entry.total is not None:
            columns["progress_total"] = entry.total
        if entry.kind is EventKind.step:
            columns["step"] = str(entry.data["step"])
    return columns
