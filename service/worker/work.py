"""What the steps of an operation work with: its rows, its progress, its limits.

A step takes a `Ticket` and returns None, or the reference of a failure; never a secret, because
what a step returns is stored by the durable engine. State lies in our own tables, and what AWS
holds is made equal to it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from models.access_keys import AccessKey
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.operations import CancelMode, EventKind, Operation
from service.areas_inputs import area_inputs
from service.context import Services
from service.worker.circuit import Circuit
from service.worker.floor import Floor
from service.worker.journal import Entry, Journal
from stacks.client import AreaInputs
from stacks.events import OnProgress, ResourceProgress
from stacks.failures import CANCELLED, StackError

log = logging.getLogger(__name__)

RESOURCES_BESIDE_KEYS = 4
"""Placeholder, user, membership and policy: what each area has beside its keys."""

UNFIT = "MachineUnfit"
"""Code of a failure because our own machine can make no key now."""
DEADLINE_EXCEEDED = "DeadlineExceeded"
_LOOK_SECONDS = 0.2
"""How old the knowledge may be that nobody asked to stop, while an engine runs."""


class Ticket(NamedTuple):
    """One run of an operation; a retry or a takeover makes a new run, and the old one ends."""

    operation_id: str
    run: int


class FailureReference(TypedDict):
    """A failure as the durable engine may store it: codes and sentences, no secret.

    `transient`: it may pass by itself, as AWS being away does, so that the step is tried again.
    """

    code: str
    detail: str
    transient: bool


class Rows(NamedTuple):
    """The rows that a step works on; keys oldest first."""

    operation: Operation
    client: Client
    keys: list[AccessKey]


class Superseded(Exception):
    """The run is over: its operation has ended, or another run of it has begun."""


class Interrupted(BaseException):
    """The process stops while a step waits. No `Exception`, so that the durable engine records
    nothing and the step runs again after the start.
    """


@dataclass(frozen=True)
class Job:
    """What a step works on, read at its start; `leave`: cancelled, and nothing to be undone."""

    ticket: Ticket
    client: Client
    keys: Sequence[AccessKey]
    area: AreaInputs
    parameters: dict[str, Any]
    leave: bool

    def known_key_ids(self) -> list[str]:
        """Return the ids of the keys that our records know."""
        return [key.access_key_id for key in self.keys if key.access_key_id]

    @property
    def total(self) -> int:
        """Return how many resources the area has."""
        return RESOURCES_BESIDE_KEYS + len(self.area.keys)


class Work:
    """The parts of the service that steps need; one for the whole process.

    ``name`` is the worker's: an operation that another worker has claimed is none of its business.
    ``check`` ends the process when it is cut off from the other workers; it is asked before each
    resource, and before each call to AWS that a run makes itself.
    """

    def __init__(
        self,
        services: Services,
        journal: Journal,
        circuit: Circuit,
        name: str = "local",
        check: Callable[[], None] | None = None,
    ) -> None:
        self.services = services
        self.name = name
        self.journal = journal
        self.circuit = circuit
        self.stopping = threading.Event()
        self.floor = Floor()
        self._check = check

    def go_on(self) -> None:
        """Raise `Interrupted` when the process stops."""
        if self.stopping.is_set():
            raise Interrupted

    def rows(self, session: Session, ticket: Ticket) -> Rows:
        """Return the rows of a run that is not over, locked until the transaction ends.

        Raises `Superseded` when it is over.
        """
        # Client before operation, as everywhere: two who lock both must not wait for each other.
        query = select(Client).join(Operation, col(Operation.client_id) == col(Client.id))
        query = query.where(Operation.id == ticket.operation_id).with_for_update(of=Client)
        client = session.exec(query).one()
        operation = session.get_one(Operation, ticket.operation_id, with_for_update=True)
        if operation.finished_at is not None or operation.run != ticket.run:
            raise Superseded(f"run {ticket.run} of operation {ticket.operation_id} is over")
        return Rows(operation, client, keys_of(session, client))

    def job(self, ticket: Ticket) -> Job:
        """Return what a step needs to know; raises `Superseded` and `StackError`."""
        services = self.services
        with transaction(services.database) as session:
            operation, client, keys = self.rows(session, ticket)
            parameters = dict(operation.parameters)
            leave = operation.cancel_mode is CancelMode.leave
        area = area_inputs(services.settings, services.areas.account(), client, keys)
        return Job(ticket, client, keys, area, parameters, leave)

    def client_of(self, ticket: Ticket) -> str:
        """Return the id of the client that the run is about."""
        with transaction(self.services.database, write=False) as session:
            return session.get_one(Operation, ticket.operation_id).client_id

    def verdict(self, ticket: Ticket) -> FailureReference | None:
        """Return why the run has to stop: it was cancelled, or its time is up; None to go on."""
        with transaction(self.services.database, write=False) as session:
            operation = session.get_one(Operation, ticket.operation_id)
        if operation.finished_at is not None or operation.run != ticket.run:
            raise Superseded(f"run {ticket.run} of operation {ticket.operation_id} is over")
        if operation.cancel_requested_at is not None:
            return failure_of(CANCELLED, "The operation was cancelled.")
        if operation.deadline_at is not None and operation.deadline_at <= utc_now():
            waited = f" while it waited: {operation.waiting_for}" if operation.waiting_for else ""
            return failure_of(DEADLINE_EXCEEDED, f"The operation's time was up{waited}.")
        return None

    def stopper(self, ticket: Ticket) -> Callable[[], bool]:
        """Return what an engine asks before each resource: whether to stop there."""
        asked_at, stop = 0.0, False

        def should_stop() -> bool:
            nonlocal asked_at, stop
            self.check()
            if not stop and time.monotonic() - asked_at > _LOOK_SECONDS:
                asked_at, stop = time.monotonic(), self._must_stop(ticket)
            return stop

        return should_stop

    def check(self) -> None:
        """End the process when it is cut off from the other workers."""
        if self._check is not None:
            self._check()

    def never_stop(self) -> bool:
        """Answer an engine that undoes: nothing stops it, but a process that is cut off ends."""
        self.check()
        return False

    def _must_stop(self, ticket: Ticket) -> bool:
        try:
            return self.verdict(ticket) is not None
        except Superseded:
            return True
        except DBAPIError as error:
            # An engine that is told of it would fail the work for it; the next look is soon.
            log.warning("%s can't be looked at: %s", ticket.operation_id, error.orig)
            return False

    def step(
        self, ticket: Ticket, name: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Tell which step begins."""
        data = {"step": name}
        entry = Entry(ticket.operation_id, EventKind.step, data, done=done, total=total)
        self.journal.write(entry)

    def log(self, ticket: Ticket, message: str, **data: Any) -> None:
        """Tell something that people who watch want to know."""
        content = {"message": message, **data}
        self.journal.write(Entry(ticket.operation_id, EventKind.log, content))

    def progress(self, ticket: Ticket, total: int) -> OnProgress:
        """Return a listener that tells each resource's progress and counts what is done."""
        done: set[str] = set()

        def tell(progress: ResourceProgress) -> None:
            if progress.phase == "done":
                done.add(progress.urn)
            data: dict[str, Any] = {
                "phase": progress.phase,
                "operation": progress.operation,
                "type": progress.short_type(),
                "name": progress.name,
            }
            count = min(len(done), total)
            self.journal.write(Entry(ticket.operation_id, EventKind.resource, data, done=count))

        return tell


def keys_of(session: Session, client: Client) -> list[AccessKey]:
    """Return all keys that the client has or had, oldest first."""
    query = select(AccessKey).where(AccessKey.client_id == client.id)
    return list(session.exec(query.order_by(col(AccessKey.generation))).all())


def failure_of(code: str, detail: str, *, transient: bool = False) -> FailureReference:
    """Return a failure that is not AWS's."""
    return FailureReference(code=code, detail=detail, transient=transient)


def reference(error: StackError) -> FailureReference:
    """Return the reference of what went wrong in a stack."""
    failure = error.failure
    return failure_of(failure.code, failure.detail, transient=failure.transient)


def tell_audit(
    session: Session, operation: Operation, client: Client, action: str, keys: Sequence[AccessKey]
) -> None:
    """Append to the audit chain what the operation did."""
    ids = [key.access_key_id for key in keys if key.access_key_id]
    append_audit(
        session,
        AuditEntry(
            actor_id=operation.requested_by,
            action=action,
            object_type="client",
            object_id=client.id,
            client_id=client.id,
            data={"operation_id": operation.id, "access_key_ids": ids},
        ),
    )
