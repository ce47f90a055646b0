"""Tells who waits for an operation in this process what another process did to it.

One look at the database for all that wait, instead of one for each: fifty callers that each looked
twice a second would keep the API busier than what they asked for.
"""

import logging
import threading
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from models.database import transaction
from models.operations import UNFINISHED, Operation, OperationState
from service.hub import OperationHub

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.15
STOP_SECONDS = 10


class _Seen(NamedTuple):
    state: OperationState
    revision: int
    events: int


class Follower:
    """Looks at the operations that are waited for, and wakes who waits when one has changed."""

    def __init__(self, database: Engine, hub: OperationHub) -> None:
        self._database = database
        self._hub = hub
        self._known: Mapping[str, _Seen] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def launch(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)

    def look(self) -> None:
        """Look once; what is waited for since the look before counts as changed."""
        awaited = self._hub.awaited()
        seen = self._look_at(awaited) if awaited else {}
        before, self._known = self._known, seen
        for operation_id, now in seen.items():
            then = before.get(operation_id)
            if then == now:
                continue
            if now.state not in UNFINISHED or (then and then.state is not now.state):
                self._hub.publish(operation_id)
            else:
                self._hub.publish_progress(operation_id)

    def _look_at(self, awaited: list[str]) -> dict[str, _Seen]:
        # Events are counted apart: they do not make the row's next revision.
        query = select(Operation.id, Operation.state, Operation.revision, Operation.event_count)
        with transaction(self._database, write=False) as session:
            rows = session.exec(query.where(col(Operation.id).in_(awaited))).all()
        return {row_id: _Seen(OperationState(state), *counts) for row_id, state, *counts in rows}

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self.look()
            except SQLAlchemyError as error:
                # Who waits looks for himself from time to time.
                log.warning("operations can't be followed: %s", type(error).__name__)
            except Exception:
                log.exception("operations can't be followed; it is tried again")
