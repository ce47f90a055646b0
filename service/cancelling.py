"""Cancelling operations: at once while nothing is made, else by the worker, before its next
resource.
"""

from collections.abc import Callable, Mapping

from sqlmodel import Session

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, ClientState, move_client
from models.operations import (
    UNFINISHED,
    CancelMode,
    EventKind,
    Operation,
    OperationKind,
    OperationState,
    add_event,
    transition,
)
from service import problems
from service.approvals.ending import withdraw_approvals
from service.intents import audit, keys_of, links_of
from service.outgoing.ending import announce_end
from service.problems import Problem
from service.rotation.postponing import postpone
from service.suspension.wishes import state_before_closing
from service.wishes import Requester

_NOTHING_MADE = "Nothing was made for it."
_NO_KEY_WORKS = (
    "Nothing was made for it; the old keys stay off, as asked, so that no key works. "
    "Send POST /v1/clients/{slug}/rotate?now=true for a new one."
)


def cancel(
    session: Session,
    client: Client,
    operation: Operation,
    mode: CancelMode,
    reason: str,
    requester: Requester,
) -> None:
    """Cancel an unfinished operation; asking again changes nothing.

    Both rows are locked by the caller. What waits and has made nothing is cancelled here; what
    runs, or may have left something in an earlier run, is stopped by the worker. Raises the 409
    Problem for an operation that has ended.
    """
    if operation.state not in UNFINISHED:
        raise Problem(
            problems.OPERATION_FINISHED,
            f"{operation.kind.value} of {client.slug} has {operation.state.value} already.",
            members={"links": links_of(client, operation)},
        )
    if operation.cancel_requested_at is not None:
        return
    operation.cancel_requested_at, operation.cancel_mode = utc_now(), mode
    # The reason is free text, which the audit chain does not hold: it refers to this operation.
    told = {"message": "cancel requested", "mode": mode.value, "reason": reason}
    add_event(operation, EventKind.log, told)
    if operation.state is not OperationState.running and operation.run == 1:
        _take_back(session, client, operation)
        withdraw_approvals(session, operation, requester)
        announce_end(session, operation, client)
    data = {"operation_id": operation.id, "mode": mode.value}
    audit(session, requester, f"client.{operation.kind.value}_cancel_requested", client, data)


def _take_back(session: Session, client: Client, operation: Operation) -> None:
    _TAKE_BACK[operation.kind](session, client, operation)
    cut = operation.parameters.get("now")
    operation.next_step = _NO_KEY_WORKS.format(slug=client.slug) if cut else _NOTHING_MADE
    transition(operation, OperationState.cancelled)


def _take_back_opening(session: Session, client: Client, operation: Operation) -> None:
    _take_back_key(session, client, operation)
    move_client(client, ClientState.failed)


def _take_back_closing(session: Session, client: Client, operation: Operation) -> None:  # noqa: ARG001
    move_client(client, state_before_closing(client, operation))


def _take_back_key(session: Session, client: Client, operation: Operation) -> None:  # noqa: ARG001
    planned = session.get(AccessKey, operation.parameters.get("access_key_row_id", ""))
    if planned is not None and planned.access_key_id is None:
        planned.status, planned.ended_at = AccessKeyStatus.deleted, utc_now()


def _take_back_update(session: Session, client: Client, operation: Operation) -> None:
    # Else the clock would ask for it again within seconds.
    postpone(session, operation, client, keys_of(session, client), failures=0)


_TAKE_BACK: Mapping[OperationKind, Callable[[Session, Client, Operation], None]] = {
    OperationKind.open: _take_back_opening,
    OperationKind.reopen: _take_back_opening,
    OperationKind.close: _take_back_closing,
    OperationKind.update: _take_back_update,
    OperationKind.rotate: _take_back_key,
    OperationKind.repair: _take_back_key,
}
