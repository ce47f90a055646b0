"""How an operation ends without success: failed, cancelled, or given up."""

import logging
from collections.abc import Sequence

from sqlmodel import Session, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, ClientState, move_client
from models.database import transaction
from models.operations import (
    CancelMode,
    Failure,
    Operation,
    OperationKind,
    OperationState,
    transition,
)
from models.stack_outputs import StackOutput
from service.outgoing.ending import announce_end
from service.rotation.endings import delete
from service.rotation.postponing import DEATHS_WEIGH, gave_up, postpone
from service.suspension.switching import leave_to_clock
from service.suspension.wishes import state_before_closing
from service.worker.patience import despite_cuts
from service.worker.work import (
    FailureReference,
    Rows,
    Ticket,
    Work,
    failure_of,
    tell_audit,
)
from stacks.failures import CANCELLED, StackError

log = logging.getLogger(__name__)

TRIES = 5
"""How often an operation is taken up again after its worker died in it."""
GAVE_UP = "GaveUp"
_CHANGES = (OperationKind.rotate, OperationKind.update, OperationKind.repair)
"""What changes an area that is open and stays open."""


def end_badly(
    work: Work,
    ticket: Ticket,
    failure: FailureReference,
    *,
    undone: Sequence[str] = (),
    rest: str | None = None,
) -> None:
    """End a run that failed or was cancelled: what was undone, what is left, what to do next.

    ``rest`` says in words what could not be undone.
    """
    work.journal.flush()
    # Here, not only around the step: run again, it would find nothing left to tell of as undone.
    despite_cuts(work, _write_end, work, ticket, failure, undone, rest)
    work.services.hub.publish(ticket.operation_id)


def _write_end(
    work: Work,
    ticket: Ticket,
    failure: FailureReference,
    undone: Sequence[str],
    rest: str | None,
) -> None:
    with transaction(work.services.database) as session:
        rows = work.rows(session, ticket)
        _settle_client(session, rows, failure, rest)
        _end(rows, failure, list(undone), rest)
        announce_end(session, rows.operation, rows.client)
        outcome = rows.operation.state.value
        action = f"client.{rows.operation.kind.value}_{outcome}"
        tell_audit(session, rows.operation, rows.client, action, rows.keys)


def give_up(work: Work, ticket: Ticket, deaths: int) -> None:
    """End an operation in which its worker died too often, so that it blocks nobody else.

    Once, its keys are cut before; if that is what kills, the next time it just ends. An area that
    was open stays open: its keys are not cut for a rotation or a repair that kills.
    """
    # What the last of them did is not known: it may have made a key that works.
    leave_to_clock(work.services, work.client_of(ticket))
    rest = "Nothing was rolled back."
    if deaths == TRIES and not _changes_open_area(work, ticket):
        rest = _cut(work, ticket)
    sentence = f"The worker died {TRIES} times in this operation, so that it is not tried again."
    end_badly(work, ticket, failure_of(GAVE_UP, sentence), rest=rest)


def cut_and_end(work: Work, ticket: Ticket, failure: FailureReference) -> None:
    """End an opening that may not touch its stack: its keys are cut by direct calls."""
    end_badly(work, ticket, failure, rest=_cut(work, ticket))


def forget_area(session: Session, client: Client, keys: Sequence[AccessKey]) -> None:
    """Mark the keys as deleted and forget their secrets and the stack's outputs."""
    for key in keys:
        delete(key, utc_now())
        key.failed_tries = 0
    outputs = session.exec(select(StackOutput).where(StackOutput.client_id == client.id))
    for output in outputs.all():
        session.delete(output)


def _changes_open_area(work: Work, ticket: Ticket) -> bool:
    with transaction(work.services.database, write=False) as session:
        return session.get_one(Operation, ticket.operation_id).kind in _CHANGES


def _cut(work: Work, ticket: Ticket) -> str:
    try:
        job = work.job(ticket)
        work.services.areas.key_off(job.area, job.known_key_ids())
    except StackError as error:
        log.warning("keys of %s could not be cut: %s", ticket.operation_id, error.failure.code)
        return f"Nothing was rolled back, and its keys may work: {error.failure.detail}"
    return "Its keys are off; nothing else was rolled back."


def _settle_client(
    session: Session, rows: Rows, failure: FailureReference, rest: str | None
) -> None:
    operation, client, keys = rows
    if operation.kind in (OperationKind.open, OperationKind.reopen):
        left = rest is not None or operation.cancel_mode is CancelMode.leave
        if not left:
            forget_area(session, client, keys)
        move_client(client, ClientState.failed)
    elif operation.kind is OperationKind.close:
        cancelled = _was_cancelled(operation, failure)
        state = state_before_closing(client, operation) if cancelled else ClientState.failed
        move_client(client, state)
    elif operation.kind is OperationKind.update:
        postpone(session, operation, client, keys, failures=_failures(operation, failure))


def _failures(operation: Operation, failure: FailureReference) -> int:
    if _was_cancelled(operation, failure):
        return 0
    return DEATHS_WEIGH if failure["code"] == GAVE_UP else 1


def _was_cancelled(operation: Operation, failure: FailureReference) -> bool:
    return failure["code"] == CANCELLED and operation.cancel_requested_at is not None


def _end(rows: Rows, failure: FailureReference, undone: list[str], rest: str | None) -> None:
    operation = rows.operation
    cancelled = _was_cancelled(operation, failure)
    next_step = _next_step(rows, rest, cancelled=cancelled)
    if cancelled:
        operation.rolled_back, operation.next_step = undone, next_step
        transition(operation, OperationState.cancelled)
        return
    told = Failure(
        code=failure["code"], detail=failure["detail"], next_step=next_step, rolled_back=undone
    )
    transition(operation, OperationState.failed, failure=told)


def _next_step(rows: Rows, rest: str | None, *, cancelled: bool) -> str:
    """Return what can be done next: what was cancelled is final, and no retry takes it."""
    operation, client, _ = rows
    if operation.kind is OperationKind.close:
        if client.state is not ClientState.failed:
            return f"Nothing of it had begun: {client.slug} is {client.state.value}, as before."
        return f"Send DELETE for {client.slug} again; what is gone already stays gone."
    if operation.kind in _CHANGES:
        return _next_step_of_change(rows, rest, cancelled=cancelled)
    if rest is not None:
        return (
            f"What was made for {client.slug} is not all removed: {rest} Its keys may be "
            "left; close the client (DELETE), or "
            f"{'open it again' if cancelled else 'retry the operation'}, as soon as AWS answers."
        )
    if operation.cancel_mode is CancelMode.leave:
        return f"What was made for {client.slug} was left as asked. Close it, or open it again."
    again = "Send" if cancelled else "Mend the cause and send"
    return f"Nothing is left of it in AWS. {again} the same request again."


def _next_step_of_change(rows: Rows, rest: str | None, *, cancelled: bool) -> str:
    operation, client, keys = rows
    if operation.kind is OperationKind.update:
        return _next_step_of_update(operation, client, keys)
    old, now = "the old keys are as they were", operation.parameters.get("now")
    if now:
        old = "the old keys stay off, as asked, so that no key works"
    if rest is not None:
        return (
            f"The new key of {client.slug} could not be taken away, and was handed to nobody; "
            f"{old}. {rest} Repair the client (refresh?repair=true) when AWS answers."
        )
    if left := _left_key(rows):
        return (
            f"The new key {left} was left as asked, switched off and handed to nobody; {old}. "
            f"{_ask_again(operation, client)} for another one."
        )
    if cancelled:
        again = _ask_again(operation, client)
        return f"No new key is left, and {old}. {again} if it is still wanted."
    return f"No new key is left, and {old}. Mend the cause and retry the operation."


def _ask_again(operation: Operation, client: Client) -> str:
    """Say what to send in place of a retry. The next repair finds a lost key noted as gone, and
    makes no successor: a rotation does.
    """
    if operation.kind is OperationKind.repair and "access_key_row_id" not in operation.parameters:
        return f"Send POST /v1/clients/{client.slug}/refresh?repair=true"
    now = "?now=true" if operation.parameters.get("now") else ""
    return f"Send POST /v1/clients/{client.slug}/rotate{now}"


def _left_key(rows: Rows) -> str | None:
    """Return the id of the new key that a cancelled change has left, if it has."""
    row_id = rows.operation.parameters.get("access_key_row_id")
    new = next((key for key in rows.keys if key.id == row_id), None)
    left = new is not None and new.status is not AccessKeyStatus.deleted
    return new.access_key_id if new is not None and left else None


def _next_step_of_update(operation: Operation, client: Client, keys: Sequence[AccessKey]) -> str:
    if not gave_up(operation, keys):
        return (
            "The service tries again by itself, later each time; the keys are wished off or gone "
            "already."
        )
    remedy = f"repair {client.slug} (refresh?repair=true) or retry this operation"
    if client.state is ClientState.failed:
        remedy = f"close {client.slug} (DELETE) or retry this operation"
    return (
        "It failed so often that the service does not try again by itself. Mend the cause, then "
        f"{remedy}."
    )
