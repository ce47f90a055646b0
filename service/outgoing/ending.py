"""Announces how an operation ended: one call for whoever ends one."""

from typing import Any

from sqlmodel import Session, col, select

from models.access_keys import AccessKey
from models.clients import Client
from models.operations import UNFINISHED, Operation, OperationKind, OperationState
from models.outgoing import EventType
from models.records import Record
from service.outgoing.announce import announce


def announce_end(session: Session, operation: Operation, client: Client) -> None:
    """Announce an operation that has just ended, and what its end means for the client.

    `operation.succeeded`, or `operation.failed` for one that failed or was cancelled, which
    `operation_state` tells; then `record.ready` for a new key's record, or `client.closed`. Call
    it in the transaction that ends the operation. Raises ValueError for one that has not ended.
    """
    if operation.state in UNFINISHED:
        raise ValueError(f"Operation {operation.id} is {operation.state.value}: it has not ended.")
    if operation.state is not OperationState.succeeded:
        announce(session, EventType.operation_failed, client, operation=operation)
        return
    announce(session, EventType.operation_succeeded, client, operation=operation)
    if operation.kind is OperationKind.close:
        announce(session, EventType.client_closed, client, operation=operation)
    elif made := _record_made(session, operation):
        announce(session, EventType.record_ready, client, operation=operation, data=made)


def _record_made(session: Session, operation: Operation) -> dict[str, Any] | None:
    """Return what identifies the record of the key that the operation made, if it made one."""
    key_row_id = operation.parameters.get("access_key_row_id")
    query = (
        select(Record, AccessKey)
        .join(AccessKey, col(AccessKey.id) == col(Record.access_key_row_id))
        .where(Record.access_key_row_id == key_row_id)
        .order_by(col(Record.version).desc())
        .limit(1)
    )
    found = session.exec(query).first() if key_row_id else None
    if found is None:
        return None
    record, key = found
    return {
        "record": record.number,
        "version": record.version,
        "access_key_id": key.access_key_id,
    }
