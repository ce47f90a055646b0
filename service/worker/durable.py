"""The one module that knows the durable engine (DBOS Transact).

A workflow a run of an operation, named by both. The engine keeps which steps have ended, in a
file of its own for each worker; what they did is in our tables and in AWS. A run that another
worker took over begins anew there under the next number, and the old one ends by itself when it
looks at its rows. Inputs and outputs of steps are ids and failure codes, so that the file never
holds a secret.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from engine.aws.guarding import guarded
from models.base import utc_now
from models.operations import OperationKind
from service.worker.beginning import begin, under_way
from service.worker.patience import carry_out, despite_cuts
from service.worker.plans import PLANS, Plan
from service.worker.presence import Presence
from service.worker.work import (
    FailureReference,
    Superseded,
    Ticket,
    Work,
    failure_of,
)

log = logging.getLogger(__name__)

APPLICATION_VERSION = "2"
"""Set on purpose: the default, a hash of the code, would strand unfinished work at any edit.
Raise it when the order or the names of the steps change."""

RECOVERY_ATTEMPTS = 20
"""More than an operation's own tries: those are what gives it up, and what says so."""

KEEP = timedelta(days=1)
"""How long the engine's notes of a workflow stay after its end; ours stay for ever."""

_UNDER_WAY = ("PENDING", "ENQUEUED", "DELAYED")
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_PRUNE_BATCH = 500


class Stage(Enum):
    """Where a workflow stands; what has ended can't be started again under its name.

    ``set_aside``: its notes could not be written, so that the run can't go on.
    """

    unknown = "unknown"
    under_way = "under way"
    set_aside = "set aside"
    ended = "ended"


class SetAside(BaseException):
    """The engine's own notes can't be written. No `Exception`: the run is not over for it."""


class OutOfTurn(Exception):
    """A run has to stop before it got its client's turn."""

    def __init__(self, failure: FailureReference) -> None:
        self.failure = failure
        super().__init__(failure["detail"])


class DurableRunner:
    """Runs operations as durable workflows; one a process, under the worker's name."""

    def __init__(
        self,
        work: Work,
        file: Path,
        on_end: Callable[[str], None],
        presence: Presence,
        *,
        plans: Mapping[OperationKind, Plan] = PLANS,
    ) -> None:
        self._work = work
        self._on_end = on_end
        self._presence = presence
        self._plans = plans
        self._lock = threading.Lock()
        self._running: set[Ticket] = set()
        self._urgent: set[Ticket] = set()
        self._set_aside: set[Ticket] = set()
        self._ended_at = 0.0
        config: DBOSConfig = {
            "name": "handover",
            "system_database_url": f"sqlite:///{file}",
            "application_version": APPLICATION_VERSION,
            "executor_id": presence.name,
            "log_level": "WARNING",
            "run_migrations": True,
            "enable_otlp": False,
        }
        self._dbos = DBOS(config=config)
        self._workflow = self._registered()

    def _registered(self) -> Callable[[str, int], None]:
        # A function of its own: the engine writes attributes on what it registers.
        @DBOS.workflow(name="operation", max_recovery_attempts=RECOVERY_ATTEMPTS)
        def operation(operation_id: str, run: int) -> None:
            self._operation(Ticket(operation_id, run))

        return operation

    def launch(self) -> None:
        """Begin to run, and go on with what a process before this one left unfinished."""
        DBOS.launch()

    def start(self, ticket: Ticket, *, urgent: bool = False) -> None:
        """Start the run's workflow; one that was started before is left as it is."""
        with self._lock:
            if ticket in self._running:
                return
            self._running.add(ticket)
            if urgent:
                self._urgent.add(ticket)
        try:
            with SetWorkflowID(_workflow_id(ticket)):
                DBOS.start_workflow(self._workflow, ticket.operation_id, ticket.run)
        except OperationalError as error:
            # Its file is full, or closed to changes: each second until somebody mends that.
            log.warning("%s can't be started yet: %s", _workflow_id(ticket), error.orig)
            self._forget(ticket)
        except (dbos_error.DBOSException, SQLAlchemyError):
            log.exception("%s could not be started; the sweeper will", _workflow_id(ticket))
            self._forget(ticket)

    def running(self) -> int:
        """Return how many operations this process works on."""
        with self._lock:
            return len(self._running)

    def running_urgent(self) -> int:
        """Return how many of them are urgent."""
        with self._lock:
            return len(self._urgent)

    def works_on(self, ticket: Ticket) -> bool:
        """Tell whether this process works on the run."""
        with self._lock:
            return ticket in self._running

    def stage_of(self, ticket: Ticket) -> Stage:
        """Tell where the run's workflow stands."""
        with self._lock:
            if ticket in self._set_aside:
                return Stage.set_aside
        status = DBOS.get_workflow_status(_workflow_id(ticket))
        if status is None:
            return Stage.unknown
        # What another version began is never recovered by this one: it has to begin anew.
        ours = status.app_version == APPLICATION_VERSION
        return Stage.under_way if ours and status.status in _UNDER_WAY else Stage.ended

    def prune(self, keep: timedelta = KEEP) -> int:
        """Forget workflows that ended so long ago; return how many, at most one batch."""
        before = (utc_now() - keep).isoformat()
        old = DBOS.list_workflows(
            status=_ENDED,
            completed_before=before,
            limit=_PRUNE_BATCH,
            load_input=False,
            load_output=False,
        )
        if old:
            DBOS.delete_workflows([workflow.workflow_id for workflow in old])
        return len(old)

    def stop(self) -> None:
        """Stop; what still runs is left to the end of the process."""
        # The engine notes the end of a workflow a moment after its function has returned.
        just_ended = time.monotonic() - self._ended_at < 1
        DBOS.destroy(workflow_completion_timeout_sec=int(just_ended), destroy_registry=True)

    def _operation(self, ticket: Ticket) -> None:
        with self._lock:
            self._running.add(ticket)
        try:
            with guarded(self._work.check):
                self._run(ticket)
        except Superseded as over:
            log.info("%s", over)
        except SetAside as reason:
            log.warning("%s is set aside: %s", _workflow_id(ticket), reason)
            with self._lock:
                self._set_aside.add(ticket)
            raise
        finally:
            self._forget(ticket)
            self._on_end(ticket.operation_id)

    def _forget(self, ticket: Ticket) -> None:
        with self._lock:
            self._running.discard(ticket)
            self._urgent.discard(ticket)
            self._ended_at = time.monotonic()

    def _run(self, ticket: Ticket) -> None:
        # No step of the engine's, so that each recovery counts as an attempt.
        kind = despite_cuts(self._work, begin, self._work, ticket)
        if kind is None:
            return
        plan, client_id = self._plans[kind], self._work.client_of(ticket)
        try:
            with (
                self._presence.turn(client_id, lambda: self._go_on(ticket)),
                under_way(self._work, ticket) as goes_on,
            ):
                failure = self._steps(plan, ticket) if goes_on else None
                if failure is not None:
                    ending = plan.on_failure
                    _step(self._work, ending.name, ending.function, ticket, failure)
        except OutOfTurn as stop:
            # No step of the engine's: begun anew, the run may have its turn.
            end = plan.out_of_turn.function
            with under_way(self._work, ticket) as goes_on:
                if goes_on:
                    despite_cuts(self._work, end, self._work, ticket, stop.failure)

    def _go_on(self, ticket: Ticket) -> None:
        """Raise when the run is over, has to stop, or the process does, while it waits for its
        turn.
        """
        if failure := self._work.verdict(ticket):
            raise OutOfTurn(failure)
        self._work.go_on()

    def _steps(self, plan: Plan, ticket: Ticket) -> FailureReference | None:
        try:
            for step in plan.steps:
                if failure := _step(self._work, step.name, carry_out, ticket, step.function):
                    return failure
        except (dbos_error.DBOSException, Superseded):
            raise
        except Exception:
            # The boundary of the work: whatever broke, the operation must end and say so.
            log.exception("operation %s broke", ticket.operation_id)
            return failure_of("InternalError", _BROKE)
        return None


_BROKE = "The service failed within; its log has the details under the operation's id."


def _workflow_id(ticket: Ticket) -> str:
    return f"{ticket.operation_id}-{ticket.run}"


def _step(
    work: Work, name: str, function: Callable[..., Any], *arguments: Any
) -> FailureReference | None:
    """Run a step under the engine; raises `SetAside` when the engine can't note what it did."""
    raised: list[Exception] = []

    def run() -> Any:
        try:
            return despite_cuts(work, function, work, *arguments)
        except Exception as error:
            raised.append(error)
            raise

    try:
        failure: FailureReference | None = DBOS.run_step({"name": name}, run)
    except OperationalError as error:
        if raised:
            # What the step said goes before what became of the note of it.
            raise raised[0] from error
        raise SetAside(f"the durable engine's file can't be written: {error.orig}") from error
    return failure
