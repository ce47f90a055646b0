"""Waiting for AWS: a step that AWS may get over by itself is tried again, until time is up."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from engine.aws.failures import AWAY
from models.database import transaction
from models.operations import Operation
from service.machine import refuses_changes
from service.worker.work import UNFIT, FailureReference, Interrupted, Ticket, Work
from stacks.failures import OUR_OWN

log = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")
StepFunction = Callable[[Work, Ticket], FailureReference | None]
Undo = Callable[[Work, Ticket], FailureReference | None]

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
LONGEST_DATABASE_PAUSE = 5.0
_OUR_OWN = OUR_OWN | {UNFIT}
_SLICE = 0.1
"""Seconds between looks at whether the process stops, or the operation was cancelled."""


def despite_cuts(work: Work, function: Callable[..., Outcome], *arguments: object) -> Outcome:
    """Call, and again while the database is away, full or closed to changes: each step may run
    again, and an operation must not fail for it.

    While the database answers and only keeps nothing, this waits without end: `carry_out` looks
    at the operation's own deadline each time, and what ends an operation has to be written down
    whenever that can be. Raises the database's error when it has been away for as long as an
    operation may take.
    """
    deadline = time.monotonic() + work.services.settings.operation_deadline_seconds
    pause = FIRST_PAUSE
    while True:
        try:
            return function(*arguments)
        except DBAPIError as error:
            if not refuses_changes(error) and not _away(error, until=deadline - pause):
                raise
            log.warning("the database fails under a step, which runs again: %s", error.orig)
        _sleep(work, pause)
        pause = min(pause * 2, LONGEST_DATABASE_PAUSE)


def _away(error: DBAPIError, *, until: float) -> bool:
    lost = isinstance(error, OperationalError | InterfaceError)
    return lost and time.monotonic() < until


def carry_out(work: Work, ticket: Ticket, step: StepFunction) -> FailureReference | None:
    """Run a step until it succeeds or fails for good; return None, or why it failed.

    While AWS is away it waits. Cancelling and the deadline end the wait, and the step's engine too.
    """
    pause = FIRST_PAUSE
    while (stop := work.verdict(ticket)) is None:
        if work.circuit.permits():
            failure = step(work, ticket)
            if failure is None or not failure["transient"]:
                work.circuit.succeeded()
                _tell(work, ticket, waiting_for=None)
                # What the engine calls cancelled may be a deadline as well.
                return failure and (work.verdict(ticket) or failure)
            _note_failure(work, failure)
            with _resting(work, ticket, failure):
                _wait(work, ticket, pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            with _resting(work, ticket):
                _wait_for_circuit(work, ticket)
    return stop


def undo_patiently(work: Work, ticket: Ticket, undo: Undo, seconds: float) -> str | None:
    """Run what undoes a failed operation until it succeeds, at most so many seconds.

    Return None, or in words what is left. Neither cancelling nor the deadline shortens it: leaving
    half an area behind would be worse.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        left: FailureReference | None = None
        if work.circuit.permits():
            left = undo(work, ticket)
            if left is None:
                work.circuit.succeeded()
                return None
            if not left["transient"]:
                return left["detail"]
            _note_failure(work, left)
        if time.monotonic() + pause > deadline:
            return left["detail"] if left else "AWS did not answer in time."
        with _resting(work, ticket, left):
            _sleep(work, pause)
        pause = min(pause * 2, LONGEST_PAUSE)


@contextmanager
def _resting(work: Work, ticket: Ticket, failure: FailureReference | None = None) -> Iterator[None]:
    """Wait, and say for what: nothing of the run is under way meanwhile, so that it has no part
    in what becomes of the worker, and others may go on that have to be alone.
    """
    told: dict[str, Any] = {"waiting_for": _words(failure)} if failure is not None else {}
    _tell(work, ticket, under_way=False, **told)
    with work.floor.left(ticket, work.go_on):
        yield
    _tell(work, ticket, under_way=True)


def _wait_for_circuit(work: Work, ticket: Ticket) -> None:
    while not work.circuit.permits() and work.verdict(ticket) is None:
        _sleep(work, _SLICE)


def _wait(work: Work, ticket: Ticket, seconds: float) -> None:
    """Wait, no longer than until the run has to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _sleep(work, min(_SLICE, seconds))
        if seconds > 1 and work.verdict(ticket) is not None:
            return


def _sleep(work: Work, seconds: float) -> None:
    if work.stopping.wait(seconds):
        raise Interrupted


def _note_failure(work: Work, failure: FailureReference) -> None:
    """Tell the circuit what a failure says about AWS: that it is away, or that it is there.

    AWS that throttles answers; what is amiss on our own side says nothing about it.
    """
    if failure["code"] in AWAY:
        work.circuit.failed()
    elif failure["code"] not in _OUR_OWN:
        work.circuit.succeeded()


def _words(failure: FailureReference) -> str:
    return failure["detail"] if failure["code"] in _OUR_OWN else f"AWS: {failure['detail']}"


def _tell(work: Work, ticket: Ticket, **columns: Any) -> None:
    """Write into the operation how it stands, where that has changed and can be written."""
    try:
        _write(work, ticket, columns)
    except DBAPIError as error:
        if not refuses_changes(error):
            raise
        # It is for people who watch: what was done, or is waited for, holds without it.
        log.warning("%s can't say what it waits for: %s", ticket.operation_id, error.orig)


def _write(work: Work, ticket: Ticket, columns: dict[str, Any]) -> None:
    with transaction(work.services.database, write=False) as session:
        if not _differs(session.get_one(Operation, ticket.operation_id), ticket, columns):
            return
    with transaction(work.services.database) as session:
        operation = session.get_one(Operation, ticket.operation_id, with_for_update=True)
        if not _differs(operation, ticket, columns):
            return
        for name, value in columns.items():
            setattr(operation, name, value)
    if "waiting_for" in columns:
        work.services.hub.publish(ticket.operation_id)


def _differs(operation: Operation, ticket: Ticket, columns: dict[str, Any]) -> bool:
    """Tell whether there is something to write, into a run that is not over."""
    live = operation.run == ticket.run and operation.finished_at is None
    return live and any(getattr(operation, name) != value for name, value in columns.items())
