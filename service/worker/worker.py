"""The worker of one process: starts committed operations, and sweeps up what nobody started."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from models.database import transaction
from models.operations import Operation, OperationState, Priority
from service.context import Services
from service.worker.circuit import Circuit
from service.worker.claims import Claim, Room, claim, claimed, free_the_dead, hand_back, renew
from service.worker.durable import DurableRunner, Stage
from service.worker.journal import Journal
from service.worker.locks import locks_for
from service.worker.presence import Presence
from service.worker.retention import Retention
from service.worker.work import Ticket, Work

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often the worker looks for operations of its own, and of dead workers, left unended."""
LOOK_SECONDS = 0.2
"""How often it looks for operations that other processes accepted."""
DRAIN_SECONDS = 30
"""How long a stopping worker lets its operations end; what waits for AWS is handed back at once."""
URGENT_SLOTS = 4
"""Operations beside ``parallel_operations`` that urgent work may take up."""


class WorkerSlot:
    """The dispatcher that the service is built with; the worker is put in when it exists."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def put(self, worker: "Worker | None") -> None:
        """Put the worker in, or take it out."""
        self._worker = worker

    def start(self, operation_id: str) -> None:
        """Pass a committed operation to the worker; without one it waits in the database."""
        if self._worker is not None:
            self._worker.start(operation_id)

    def alive(self) -> bool:
        """Tell whether there is a worker and it runs."""
        return self._worker is not None and self._worker.alive()


class Worker:
    """Carries out operations, at most ``parallel_operations`` at once and some urgent ones.

    ``name`` is stable over restarts; ``backend`` names the place of its Pulumi state.
    """

    def __init__(self, services: Services, durable_file: Path, name: str, backend: str) -> None:
        self.name = name
        self._services = services
        self._database = services.database
        self._journal = Journal(services.database, services.hub)
        circuit = Circuit(services.areas.answers)
        locks = locks_for(services.database)
        self._presence = Presence(services.database, name, backend, locks, circuit)
        self._work = Work(services, self._journal, circuit, name, self._presence.check)
        self._durable = DurableRunner(self._work, durable_file, self._ended, self._presence)
        self._retention = Retention(services.database, self._durable.prune)
        self._limit = services.settings.parallel_operations
        # Only what shares its database has work that comes from elsewhere.
        self._look = SWEEP_SECONDS if locks.lasting else LOOK_SECONDS
        self._stopping = threading.Event()
        self._sweep_now = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_often, name="sweeper", daemon=True)

    def launch(self) -> None:
        """Take the name and begin to work.

        Raises `service.worker.presence.NameTaken`, `service.worker.presence.BackendDiffers` and
        `service.worker.locks.DatabaseInUse`.
        """
        try:
            self._presence.hold()
        except BaseException:
            self._journal.close()
            raise
        self._durable.launch()
        self._sweeper.start()

    def alive(self) -> bool:
        """Tell whether the worker runs and may take work."""
        working = self._sweeper.is_alive() and not self._stopping.is_set()
        return working and self._presence.held

    def watch(self, clock: Callable[[], datetime | None]) -> None:
        """Tell everybody, with the signs of life, since when the clock beside it stands."""
        self._presence.clock = clock

    def start(self, operation_id: str) -> None:
        """Start an operation directly when there is room; else the sweeper does, in turn."""
        if not self.alive() or not self._room().urgent:
            return
        with transaction(self._database, write=False) as session:
            operation = session.get_one(Operation, operation_id)
        if operation.state is OperationState.awaiting_approval:
            return
        urgent = operation.priority == Priority.urgent
        if urgent or self._room().normal:
            self._durable.start(Ticket(operation.id, operation.run), urgent=urgent)

    def stop(self) -> None:
        """Drain: take nothing new, let steps end, hand back the rest, write the last progress.

        Harmless when it has stopped already.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._presence.drain()
        self._work.stopping.set()
        self._sweep_now.set()
        self._sweeper.join(timeout=DRAIN_SECONDS)
        ended = self._drained()
        self._durable.stop()
        self._journal.close()
        # While something runs the name stays held: until the process has ended it is not over.
        if ended:
            self._hand_back()
            self._presence.release()

    def _drained(self) -> bool:
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._durable.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        if left := self._durable.running():
            log.warning("%d operations did not end in time; they are carried on later", left)
        return not left

    def _hand_back(self) -> None:
        try:
            hand_back(self._database, self._work.name)
        except SQLAlchemyError:
            log.exception("operations could not be handed back; others find them")

    def _ended(self, operation_id: str) -> None:
        self._services.hub.publish(operation_id)
        self._sweep_now.set()

    def _sweep_often(self) -> None:
        swept = 0.0
        while not self._stopping.is_set():
            try:
                if self._presence.held:
                    if time.monotonic() - swept >= SWEEP_SECONDS:
                        swept = time.monotonic()
                        self._sweep()
                    self._claim()
            except Exception:
                # The boundary of the thread: without it nobody would begin what is accepted.
                log.exception("operations could not be swept or claimed; it is tried again")
            self._sweep_now.wait(self._look)
            self._sweep_now.clear()

    def _sweep(self) -> None:
        """Carry on what was left unended: by this worker's earlier life, or by dead workers."""
        for left in claimed(self._database, self._work.name):
            if not self._durable.works_on(left.ticket) and self._fits(left):
                self._take_up(left)
        free_the_dead(self._database, self._work.name, self._presence.locks)
        self._retention.tidy()

    def _claim(self) -> None:
        room = self._room()
        if room.urgent:
            for found in claim(self._database, self._work.name, room):
                # Its workflow may be over already: one that could not even write its claim.
                self._take_up(found)

    def _room(self) -> Room:
        running, urgent = self._durable.running(), self._durable.running_urgent()
        # Urgent ones use the room beside first, so that they take none from the others.
        normal = self._limit - running + min(urgent, URGENT_SLOTS)
        return Room(max(0, normal), max(0, self._limit + URGENT_SLOTS - running))

    def _fits(self, found: Claim) -> bool:
        room = self._room()
        return bool(room.urgent if found.urgent else room.normal)

    def _take_up(self, left: Claim) -> None:
        stage = self._durable.stage_of(left.ticket)
        if stage is Stage.unknown:
            # Also what ran before, where the durable engine's file was lost: steps may run again.
            self._durable.start(left.ticket, urgent=left.urgent)
        elif stage is Stage.set_aside:
            # Nothing died: a full disk of our own is no attempt that failed.
            if renewed := renew(self._database, left.ticket, attempted=False):
                self._durable.start(renewed, urgent=left.urgent)
        elif stage is Stage.ended:
            # Its workflow is over, the operation is not.
            log.error("operation %s was left unended; it begins anew", left.ticket.operation_id)
            if renewed := renew(self._database, left.ticket):
                self._durable.start(renewed, urgent=left.urgent)
