"""The steps of close: cut the keys, take the area away, count what lies there."""

from models.access_keys import AccessKeyStatus
from models.base import utc_now
from models.clients import ClientState, move_client
from models.database import transaction
from models.operations import OperationState, transition
from service.outgoing.ending import announce_end
from service.suspension.wishes import CLOSING_BEGUN, forget_suspension
from service.worker.endings import end_badly, forget_area
from service.worker.work import FailureReference, Ticket, Work, reference, tell_audit
from stacks.failures import StackError


def key_off(work: Work, ticket: Ticket) -> FailureReference | None:
    """Cut every key of the area by direct calls, before anything else (RX-22)."""
    _begin(work, ticket)
    try:
        job = work.job(ticket)
        work.step(ticket, "key off", done=0, total=job.total)
        off = work.services.areas.key_off(job.area, job.known_key_ids())
    except StackError as error:
        return reference(error)
    with transaction(work.services.database) as session:
        operation, client, keys = work.rows(session, ticket)
        for key in keys:
            if key.status is AccessKeyStatus.active:
                key.status = AccessKeyStatus.inactive
                key.ended_at = utc_now()
            # It is off now, so that the clock has nothing to do with it any more.
            key.turn_off_at = None
        tell_audit(session, operation, client, "client.keys_off", keys)
    work.log(ticket, "keys are off", access_key_ids=list(off.access_key_ids))
    return None


def tear_down(work: Work, ticket: Ticket) -> FailureReference | None:
    """Take the whole area away; the client's objects stay."""
    try:
        job = work.job(ticket)
        work.step(ticket, "tear down", done=0, total=job.total)
        work.services.areas.close(
            job.area, work.progress(ticket, job.total), should_stop=work.stopper(ticket)
        )
    except StackError as error:
        return reference(error)
    work.journal.flush()
    return None


def closed(work: Work, ticket: Ticket) -> FailureReference | None:
    """Count what still lies there and tell the world that the area is closed."""
    try:
        remaining = work.services.areas.remaining(work.job(ticket).area)
    except StackError as error:
        return reference(error)
    work.journal.flush()
    with transaction(work.services.database) as session:
        operation, client, keys = work.rows(session, ticket)
        client.remaining_objects = remaining.objects
        client.remaining_bytes = remaining.bytes
        client.remaining_counted_at = utc_now()
        forget_area(session, client, keys)
        forget_suspension(client)
        move_client(client, ClientState.closed)
        operation.progress_done = operation.progress_total
        operation.step = "done"
        transition(operation, OperationState.succeeded)
        announce_end(session, operation, client)
        tell_audit(session, operation, client, "client.closed", keys)
    work.services.hub.publish(ticket.operation_id)
    return None


def leave_as_it_is(work: Work, ticket: Ticket, failure: FailureReference) -> None:
    """Record that a closing failed; nothing of it is undone, as the keys must stay off."""
    end_badly(work, ticket, failure)


def _begin(work: Work, ticket: Ticket) -> None:
    """Note, before AWS is touched, that cancelling does not leave the client as it was any more."""
    with transaction(work.services.database) as session:
        operation = work.rows(session, ticket).operation
        operation.parameters = {**operation.parameters, CLOSING_BEGUN: True}
