"""Taking an operation up: it starts to run, or is given up, or is none of this run's business."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationKind, begin_attempt, note_under_way
from service.worker.endings import TRIES, give_up
from service.worker.patience import despite_cuts
from service.worker.work import Superseded, Ticket, Work

SUSPECTED_AFTER = 2
"""Deaths of its worker after which an operation works alone, so that a further one is its own."""


def begin(work: Work, ticket: Ticket) -> OperationKind | None:
    """Take the run up and return the operation's kind, or None when there is nothing to do.

    Each time counts as one attempt.
    """
    seconds = work.services.settings.operation_deadline_seconds
    try:
        with transaction(work.services.database) as session:
            operation = work.rows(session, ticket).operation
            if operation.worker not in (None, work.name):
                return None
            operation.worker = work.name
            if operation.deadline_at is None:
                operation.deadline_at = utc_now() + timedelta(seconds=seconds)
            begin_attempt(operation)
            kind = operation.kind
    except Superseded:
        return None
    work.services.hub.publish(ticket.operation_id)
    return kind


@contextmanager
def under_way(work: Work, ticket: Ticket) -> Iterator[bool]:
    """Have something of the run under way: should the worker die meanwhile, that counts.

    Yields False once it was given up, after `TRIES` deaths. From the second one on nothing else
    of this process is under way beside it: what dies with a neighbour twice is cleared then.
    """
    alone = despite_cuts(work, _deaths, work, ticket) >= SUSPECTED_AFTER
    with work.floor.place(ticket, work.go_on, alone=alone):
        deaths = despite_cuts(work, _note, work, ticket)
        if alone:
            told = f"its worker died {deaths} times in it; nothing else goes on beside it"
            work.log(ticket, told, deaths=deaths)
        if deaths >= TRIES:
            give_up(work, ticket, deaths)
        yield deaths < TRIES


def _deaths(work: Work, ticket: Ticket) -> int:
    """Return how often the worker died in the operation, with the last time."""
    with transaction(work.services.database, write=False) as session:
        operation = session.get_one(Operation, ticket.operation_id)
        return operation.deaths + operation.under_way


def _note(work: Work, ticket: Ticket) -> int:
    with transaction(work.services.database) as session:
        operation = work.rows(session, ticket).operation
        note_under_way(operation)
        return operation.deaths
