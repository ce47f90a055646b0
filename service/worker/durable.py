"""The one module that knows the durable engine (DBOS Transact).

A workflow a run of an operation, named by both. The engine keeps which steps have ended, in a
file of its own for each worker; what they did is in our tables and in AWS. A run that another
worker took over begins anew there under the next number, and the old one ends by itself when it
looks at its rows. Inputs and outputs of steps are ids and failure codes, so that the file never
holds a secret.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from models.operations import OperationKind
from service.worker.beginning import begin
from service.worker.patience import carry_out
from service.worker.plans import PLANS, Plan
from service.worker.work import FailureReference, Superseded, Ticket, Work, failure_of

log = logging.getLogger(__name__)

APPLICATION_VERSION = "2"
"""Set on purpose: the default, a hash of the code, would strand unfinished work at any edit.
Raise it when the order or the names of the steps change."""

RECOVERY_ATTEMPTS = 20
"""More than an operation's own tries: those are what gives it up, and what says so."""

_UNDER_WAY = ("PENDING", "ENQUEUED", "DELAYED")


class Stage(Enum):
    """Where a workflow stands; what has ended can't be started again under its name."""

    unknown = "unknown"
    under_way = "under way"
    ended = "ended"


class DurableRunner:
    """Runs operations as durable workflows; one a process. ``name`` is the worker's."""

    def __init__(
        self,
        work: Work,
        file: Path,
        on_end: Callable[[str], None],
        *,
        name: str = "local",
        plans: Mapping[OperationKind, Plan] = PLANS,
    ) -> None:
        self._work = work
        self._on_end = on_end
        self._plans = plans
        self._lock = threading.Lock()
        self._running: set[Ticket] = set()
        config: DBOSConfig = {
            "name": "handover",
            "system_database_url": f"sqlite:///{file}",
            "application_version": APPLICATION_VERSION,
            "executor_id": name,
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

    def start(self, ticket: Ticket) -> None:
        """Start the run's workflow; one that was started before is left as it is."""
        with self._lock:
            if ticket in self._running:
                return
            self._running.add(ticket)
        try:
            with SetWorkflowID(_workflow_id(ticket)):
                DBOS.start_workflow(self._workflow, ticket.operation_id, ticket.run)
        except (dbos_error.DBOSException, SQLAlchemyError):
            log.exception("%s could not be started; the sweeper will", _workflow_id(ticket))
            self._forget(ticket)

    def running(self) -> int:
        """Return how many operations this process works on."""
        with self._lock:
            return len(self._running)

    def works_on(self, ticket: Ticket) -> bool:
        """Tell whether this process works on the run."""
        with self._lock:
            return ticket in self._running

    def stage_of(self, ticket: Ticket) -> Stage:
        """Tell where the run's workflow stands."""
        status = DBOS.get_workflow_status(_workflow_id(ticket))
        if status is None:
            return Stage.unknown
        return Stage.under_way if status.status in _UNDER_WAY else Stage.ended

    def stop(self, timeout: int) -> None:
        """Let steps that run end, at most ``timeout`` seconds, and stop."""
        DBOS.destroy(workflow_completion_timeout_sec=timeout, destroy_registry=True)

    def _operation(self, ticket: Ticket) -> None:
        with self._lock:
            self._running.add(ticket)
        try:
            self._run(ticket)
        except Superseded as over:
            log.info("%s", over)
        finally:
            self._forget(ticket)
            self._on_end(ticket.operation_id)

    def _forget(self, ticket: Ticket) -> None:
        with self._lock:
            self._running.discard(ticket)

    def _run(self, ticket: Ticket) -> None:
        # No step of the engine's, so that each recovery counts as an attempt.
        kind = begin(self._work, ticket)
        if kind is None:
            return
        plan = self._plans[kind]
        failure = self._steps(plan, ticket)
        if failure is not None:
            ending = plan.on_failure
            _step(ending.name, ending.function, self._work, ticket, failure)

    def _steps(self, plan: Plan, ticket: Ticket) -> FailureReference | None:
        try:
            for step in plan.steps:
                if failure := _step(step.name, carry_out, self._work, ticket, step.function):
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


def _step(name: str, function: Callable[..., Any], *arguments: Any) -> FailureReference | None:
    failure: FailureReference | None = DBOS.run_step({"name": name}, function, *arguments)
    return failure
