"""Taking an operation up: it starts to run, or is given up, or is none of this run's business."""

from datetime import timedelta

from models.base import utc_now
from models.database import transaction
from models.operations import OperationKind, begin_attempt
from service.worker.endings import TRIES, give_up
from service.worker.work import Superseded, Ticket, Work


def begin(work: Work, ticket: Ticket) -> OperationKind | None:
    """Take the run up and return the operation's kind, or None when there is nothing to do.

    Each time counts as one attempt; after `TRIES` the operation is given up.
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
            kind, attempts = operation.kind, operation.attempts
    except Superseded:
        return None
    work.services.hub.publish(ticket.operation_id)
    if attempts > TRIES:
        give_up(work, ticket, attempts)
        return None
    return kind
