"""Progress on its way into the database: coalesced, so that no resource waits for a commit.

An engine reports dozens of events within milliseconds from several threads. One thread writes
all that have gathered since its last commit in one transaction, and wakes who waits.
"""

import logging
import queue
import threading
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from models.database import transaction
from models.operations import EventKind, Operation, add_event
from service.hub import OperationHub

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One event to be written; ``done`` and ``total`` update the operation's progress."""

    operation_id: str
    kind: EventKind
    data: dict[str, Any]
    done: int | None = None
    total: int | None = None


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
        batch = [self._queue.get()]
        while not self._queue.empty():
            batch.append(self._queue.get())
        return batch

    def _write(self, entries: list[Entry]) -> None:
        # Progress is for people who watch: losing some of it must not fail the work itself.
        try:
            with transaction(self._database) as session:
                for operation_id in dict.fromkeys(entry.operation_id for entry in entries):
                    operation = session.get_one(Operation, operation_id)
                    for entry in entries:
                        if entry.operation_id == operation_id:
                            self._apply(operation, entry)
        except SQLAlchemyError:
            log.exception("progress of %d events could not be written", len(entries))
            return
        for operation_id in {entry.operation_id for entry in entries}:
            self._hub.publish(operation_id)

    @staticmethod
    def _apply(operation: Operation, entry: Entry) -> None:
        if entry.done is not None:
            operation.progress_done = entry.done
        if entry.total is not None:
            operation.progress_total = entry.total
        if entry.kind is EventKind.step:
            operation.step = str(entry.data["step"])
        add_event(operation, entry.kind, entry.data)
