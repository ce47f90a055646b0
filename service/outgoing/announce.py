"""Writes down what others are to be told of, in the transaction in which it happened."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from models.audit_entry import check_data
from models.clients import Client, current_contract
from models.operations import Operation
from models.outgoing import EventType, NewFeedEvent, append_feed_event

__all__ = ["EventType", "announce"]


def announce(
    session: Session,
    kind: EventType,
    client: Client,
    *,
    operation: Operation | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an event to the feed, with a delivery for each endpoint that wants it.

    Works in the caller's transaction, so that an event is told if and only if it happened; it gets
    its place there when that commits. The event holds the slug, the contract's reference and the
    operation's id by itself; `data` adds ids, codes, numbers and dates, nothing else, so that no
    secret, name or sentence can slip in (PB-13).
    Raises `models.audit_entry.AuditValueError` for any other value, and
    `models.database.WriteTransactionRequired`.
    """
    check_data(data or {})
    facts = _facts(session, client, operation) | dict(data or {})
    operation_id = operation.id if operation else None
    append_feed_event(session, NewFeedEvent(kind, client.id, operation_id, facts))


def _facts(session: Session, client: Client, operation: Operation | None) -> dict[str, Any]:
    contract = current_contract(session, client.id)
    facts: dict[str, Any] = {
        "slug": client.slug,
        "contract_reference": contract.reference if contract else None,
        "operation_id": operation.id if operation else None,
    }
    if operation is not None:
        facts["operation_kind"] = operation.kind.value
        facts["operation_state"] = operation.state.value
        if operation.failure_code is not None:
            facts["failure_code"] = operation.failure_code
    return facts
