"""The steps of update: keys whose time has come are turned off or deleted."""

from models.base import utc_now
from models.clients import ClientState
from models.database import transaction
from service.rotation.endings import delete, turn_off
from service.rotation.postponing import settled
from service.suspension.switching import enforce, enforce_or_leave, target_of
from service.worker.changing import apply, end_well
from service.worker.endings import end_badly
from service.worker.work import FailureReference, Rows, Ticket, Work, reference
from stacks.failures import StackError


def retire(work: Work, ticket: Ticket) -> FailureReference | None:
    """Wish that the keys are off or gone, and make it so."""
    with transaction(work.services.database) as session:
        operation, client, keys = work.rows(session, ticket)
        due_off, due_gone = operation.parameters["turn_off"], operation.parameters["delete"]
        for key in keys:
            if key.id in due_gone:
                # Its time stays in the row until it is gone, so that a failure loses nothing.
                at = key.delete_at
                delete(key, utc_now())
                key.delete_at = at
            elif key.id in due_off:
                at = key.turn_off_at
                turn_off(key, utc_now())
                key.turn_off_at = at
        failed = client.state is ClientState.failed
    return _turn_off(work, ticket) if failed else apply(work, ticket)


def retired(work: Work, ticket: Ticket) -> FailureReference | None:
    """Tell the world that the keys are off or gone."""
    try:
        # To forget a secret the engine has run once more.
        enforce(work.services, work.client_of(ticket))
    except StackError as error:
        return reference(error)
    end_well(work, ticket, "client.keys_retired", _clear)
    return None


def postpone(work: Work, ticket: Ticket, failure: FailureReference) -> None:
    """Say what failed, and let the clock ask again later (`service.rotation.postponing`)."""
    enforce_or_leave(work.services, work.client_of(ticket))
    end_badly(work, ticket, failure)


def _turn_off(work: Work, ticket: Ticket) -> FailureReference | None:
    """Turn the keys off by direct calls: what is half torn down must not be made again."""
    try:
        job = work.job(ticket)
        work.step(ticket, "key off", done=0, total=job.total)
        due = [key.access_key_id for key in job.keys if key.id in job.parameters["turn_off"]]
        target = target_of(job.client, list(job.keys))
        work.services.areas.switch.keys_off(target, [key_id for key_id in due if key_id])
    except StackError as error:
        return reference(error)
    return None


def _clear(rows: Rows) -> None:
    settled(rows.operation, rows.keys)
    for key in rows.keys:
        if key.id in rows.operation.parameters["turn_off"]:
            key.turn_off_at = None
        if key.id in rows.operation.parameters["delete"]:
            key.delete_at = None
