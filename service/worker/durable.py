"""The one module that knows the durable engine (DBOS Transact).

A workflow a try of an operation, named by the operation's id. The engine keeps which steps have
ended, in a file of its own; what they did is in our tables and in AWS. Inputs and outputs of
steps are ids and failure codes, so that its file never holds a secret.
"""

import logging
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from models.operations import OperationKind
from service.worker.steps import FailureReference, Steps

log = logging.getLogger(__name__)

APPLICATION_VERSION = "1"
"""Set on purpose: the default, a hash of the code, would strand unfinished work at any edit.
Raise it when the order or the names of the steps change."""

RECOVERY_ATTEMPTS = 5

_UNDER_WAY = ("PENDING", "ENQUEUED", "DELAYED")


class Stage(Enum):
    """Where a workflow stands; what has ended can't be started again under its name."""

    unknown = "unknown"
    under_way = "under way"
    ended = "ended"


class DurableRunner:
    """Runs operations as durable workflows; one a process."""

    def __init__(self, steps: Steps, file: Path, on_end: Callable[[str], None]) -> None:
        self._steps = steps
        self._on_end = on_end
        self._lock = threading.Lock()
        self._running: set[str] = set()
        config: DBOSConfig = {
            "name": "handover",
            "system_database_url": f"sqlite:///{file}",
            "application_version": APPLICATION_VERSION,
            "executor_id": "local",
            "log_level": "WARNING",
            "run_migrations": True,
            "enable_otlp": False,
        }
        self._dbos = DBOS(config=config)
        self._workflow = self._registered()

    def _registered(self) -> Callable[[str], None]:
        # A function of its own: the engine writes attributes on what it registers.
        @DBOS.workflow(name="operation", max_recovery_attempts=RECOVERY_ATTEMPTS)
        def operation(operation_id: str) -> None:
            self._operation(operation_id)

        return operation

    def launch(self) -> None:
        """Begin to run, and go on with what a process before this one left unfinished."""
        DBOS.launch()

    def start(self, operation_id: str) -> None:
        """Start the operation's workflow; one that was started before is left as it is."""
        with self._lock:
            if operation_id in self._running:
                return
            self._running.add(operation_id)
        try:
            with SetWorkflowID(operation_id):
                DBOS.start_workflow(self._workflow, operation_id)
        except (dbos_error.DBOSException, SQLAlchemyError):
            log.exception("operation %s could not be started; the sweeper will", operation_id)
            self._forget(operation_id)

    def running(self) -> int:
        """Return how many operations this process works on."""
        with self._lock:
            return len(self._running)

    def works_on(self, operation_id: str) -> bool:
        """Tell whether this process works on the operation."""
        with self._lock:
            return operation_id in self._running

    def stage_of(self, operation_id: str) -> Stage:
        """Tell where the operation's workflow stands."""
        status = DBOS.get_workflow_status(operation_id)
        if status is None:
            return Stage.unknown
        return Stage.under_way if status.status in _UNDER_WAY else Stage.ended

    def stop(self, timeout: int) -> None:
        """Let steps that run end, at most ``timeout`` seconds, and stop."""
        DBOS.destroy(workflow_completion_timeout_sec=timeout, destroy_registry=True)

    def _operation(self, operation_id: str) -> None:
        with self._lock:
            self._running.add(operation_id)
        try:
            self._run(operation_id)
        finally:
            self._forget(operation_id)
            self._on_end(operation_id)

    def _forget(self, operation_id: str) -> None:
        with self._lock:
            self._running.discard(operation_id)

    def _run(self, operation_id: str) -> None:
        steps = self._steps
        # No step of the engine's, so that each recovery counts as an attempt.
        kind = steps.begin(operation_id)
        try:
            if kind is OperationKind.close:
                self._close(operation_id)
            else:
                self._open(operation_id)
        except dbos_error.DBOSException:
            raise
        except Exception:
            # The boundary of the work: whatever broke, the operation must end and say so.
            log.exception("operation %s broke", operation_id)
            _step("broken", steps.broken, operation_id)

    def _open(self, operation_id: str) -> None:
        steps = self._steps
        failure = _step("make", steps.make, operation_id) or _step(
            "hand out", steps.hand_out, operation_id
        )
        if failure is not None:
            _step("roll back", steps.roll_back, operation_id, failure)

    def _close(self, operation_id: str) -> None:
        steps = self._steps
        failure: FailureReference | None = None
        for name, step in (
            ("key off", steps.key_off),
            ("tear down", steps.tear_down),
            ("closed", steps.closed),
        ):
            failure = failure or _step(name, step, operation_id)
        if failure is not None:
            _step("fail", steps.fail_closing, operation_id, failure)


def _step(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    return DBOS.run_step({"name": name}, function, *arguments)
