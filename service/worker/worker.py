"""The worker of one process: starts committed operations, and sweeps up what nobody started."""

import logging
import threading
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, or_, select

from models.database import transaction
from models.operations import Operation, OperationState
from service.context import Services
from service.worker.circuit import Circuit
from service.worker.durable import DurableRunner, Stage
from service.worker.journal import Journal
from service.worker.work import Ticket, Work

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
STOP_SECONDS = 30

_WORKABLE = (OperationState.pending, OperationState.running)


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
    """Carries out operations, at most ``parallel_operations`` at once."""

    def __init__(self, services: Services, durable_file: Path) -> None:
        self._services = services
        self._journal = Journal(services.database, services.hub)
        self._work = Work(services, self._journal, Circuit(services.areas.answers))
        self._durable = DurableRunner(self._work, durable_file, self._ended)
        self._limit = services.settings.parallel_operations
        self._stopping = threading.Event()
        self._sweep_now = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_often, name="sweeper", daemon=True)

    def launch(self) -> None:
        """Begin to work."""
        self._durable.launch()
        self._sweeper.start()

    def alive(self) -> bool:
        """Tell whether the worker runs."""
        return self._sweeper.is_alive() and not self._stopping.is_set()

    def start(self, operation_id: str) -> None:
        """Start an operation directly when there is room; else the sweeper does, in turn."""
        if self._stopping.is_set() or self._durable.running() >= self._limit:
            return
        with transaction(self._services.database, write=False) as session:
            run = session.get_one(Operation, operation_id).run
        self._durable.start(Ticket(operation_id, run))

    def stop(self) -> None:
        """Stop taking work, let steps end, and write the last progress."""
        self._stopping.set()
        self._work.stopping.set()
        self._sweep_now.set()
        self._sweeper.join(timeout=STOP_SECONDS)
        self._durable.stop(STOP_SECONDS)
        self._journal.close()

    def _ended(self, operation_id: str) -> None:
        self._services.hub.publish(operation_id)
        self._sweep_now.set()

    def _sweep_often(self) -> None:
        while not self._stopping.is_set():
            try:
                self._sweep()
            except SQLAlchemyError:
                log.exception("the database can't be swept for pending operations")
            self._sweep_now.wait(SWEEP_SECONDS)
            self._sweep_now.clear()

    def _sweep(self) -> None:
        """Start what nobody started, in turn; begin anew what its workflow left unended."""
        unfinished = (
            select(Operation.id, Operation.run, Operation.state)
            .where(col(Operation.state).in_(_WORKABLE))
            .where(or_(col(Operation.worker).is_(None), Operation.worker == self._work.name))
            .order_by(col(Operation.priority), col(Operation.created_at))
        )
        with transaction(self._services.database, write=False) as session:
            found = session.exec(unfinished).all()
        for operation_id, run, state in found:
            ticket = Ticket(operation_id, run)
            if self._durable.works_on(ticket):
                continue
            if self._durable.running() >= self._limit:
                return
            self._take_up(ticket, OperationState(state))

    def _take_up(self, ticket: Ticket, state: OperationState) -> None:
        stage = self._durable.stage_of(ticket)
        if stage is Stage.unknown and state is OperationState.pending:
            self._durable.start(ticket)
        elif stage is not Stage.under_way:
            # Its workflow is over, or lost with the durable engine's file; the operation is not.
            log.error("operation %s was left unended; it begins anew", ticket.operation_id)
            if renewed := self._renew(ticket):
                self._durable.start(renewed)

    def _renew(self, ticket: Ticket) -> Ticket | None:
        with transaction(self._services.database) as session:
            operation = session.get_one(Operation, ticket.operation_id, with_for_update=True)
            if operation.finished_at is not None or operation.run != ticket.run:
                return None
            operation.run += 1
            return Ticket(operation.id, operation.run)
