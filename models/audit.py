"""The audit chain: who did what, on what, from where; ids only, hash-chained (RX-17, RX-23).

Each event's hash is the SHA-256 of its canonical JSON (keys sorted, no white space, ASCII: for the
values permitted here the form of RFC 8785), which includes the hash of the event before. The first
event follows GENESIS, 64 zeros. Triggers in the database refuse UPDATE and DELETE. What a chain
cannot show by itself is that its end was cut off: keep an anchor (sequence and hash) elsewhere and
give it to `verify_chain`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, Session, col, select

from models.audit_entry import AuditEntry, check_entry
from models.base import BigCounter, JsonColumn, Table, UtcDateTime, references, utc_now
from models.database import Turn, lock_turn, say_last

__all__ = [
    "GENESIS",
    "AuditEntry",
    "AuditEvent",
    "ChainAnchor",
    "ChainReport",
    "append_audit",
    "event_hash",
    "verify_chain",
]

GENESIS = "0" * 64
"""The previous hash of the first event."""

_BATCH = 1000
"""Events held in memory at once while the chain is verified."""


class AuditEvent(Table, table=True):
    """One event of the chain; `sequence` counts from 1 without gaps."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_client_id_sequence", "client_id", "sequence"),
        Index("ix_audit_events_object_id_sequence", "object_id", "sequence"),
    )

    sequence: int = Field(
        primary_key=True, sa_type=BigCounter, sa_column_kwargs={"autoincrement": False}
    )
    at: datetime = Field(sa_type=UtcDateTime)
    actor_id: str = Field(sa_column_args=references("actors.id"), max_length=32)
    action: str = Field(max_length=64)
    object_type: str = Field(max_length=32)
    object_id: str = Field(max_length=64)
    client_id: str | None = Field(default=None, max_length=32)
    source_ip: str | None = Field(default=None, max_length=45)
    request_id: str | None = Field(default=None, max_length=64)
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JsonColumn)
    previous_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)


@dataclass(frozen=True)
class ChainAnchor:
    """The hash that the event with this sequence had when it was noted down elsewhere."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class ChainReport:
    """Whether the chain is whole; `first_bad_sequence` is where it first is not.

    `events`: how many were found good; `head_hash`: that of the last good one.
    """

    ok: bool
    events: int
    first_bad_sequence: int | None
    head_hash: str


def append_audit(session: Session, entry: AuditEntry) -> None:
    """Append an event in the caller's transaction, so that it stands or falls with what it tells.

    It gets its place when the transaction commits, in the order of the calls: writers of the chain
    wait for each other, and so do it as late as can be. Raises AuditValueError for anything but
    ids and codes, and WriteTransactionRequired.
    """
    check_entry(entry)
    say_last(session, Turn.chain, _append, entry)


def _append(session: Session, entries: Sequence[AuditEntry]) -> None:
    lock_turn(session, Turn.chain)
    last = session.exec(
        select(AuditEvent).order_by(col(AuditEvent.sequence).desc()).limit(1)
    ).first()
    for entry in entries:
        last = _event_after(last, entry)
        session.add(last)


def _event_after(last: AuditEvent | None, entry: AuditEntry) -> AuditEvent:
    event = AuditEvent(
        sequence=last.sequence + 1 if last else 1,
        at=utc_now(),
        actor_id=entry.actor_id,
        action=entry.action,
        object_type=entry.object_type,
        object_id=entry.object_id,
        client_id=entry.client_id,
        source_ip=entry.source_ip,
        request_id=entry.request_id,
        data=dict(entry.data),
        previous_hash=last.hash if last else GENESIS,
        hash="",
    )
    event.hash = event_hash(event)
    return event


def verify_chain(session: Session, *, anchor: ChainAnchor | None = None) -> ChainReport:
    """Recompute the whole chain, batch by batch, and tell where it first does not hold.

    With `anchor` the event noted down must still be there with its hash, which shows a chain
    that was cut off or written anew.
    """
    report = _follow(session.exec(_in_order()).yield_per(_BATCH), anchor)
    cut_off = anchor is not None and report.ok and report.events < anchor.sequence
    if cut_off:
        return ChainReport(False, report.events, report.events + 1, report.head_hash)
    return report


def event_hash(event: AuditEvent) -> str:
    """The SHA-256 that an event must have, hexadecimal, over everything else in it."""
    content = {
        "sequence": event.sequence,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor_id": event.actor_id,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "client_id": event.client_id,
        "source_ip": event.source_ip,
        "request_id": event.request_id,
        "data": event.data,
        "previous_hash": event.previous_hash,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _in_order() -> Any:
    return select(AuditEvent).order_by(col(AuditEvent.sequence))


def _follow(events: Iterable[AuditEvent], anchor: ChainAnchor | None) -> ChainReport:
    count, head_hash = 0, GENESIS
    for event in events:
        if not _holds(event, count + 1, head_hash, anchor):
            return ChainReport(False, count, count + 1, head_hash)
        count, head_hash = count + 1, event.hash
    return ChainReport(True, count, None, head_hash)


def _holds(event: AuditEvent, sequence: int, previous: str, anchor: ChainAnchor | None) -> bool:
    return (
        event.sequence == sequence
        and event.previous_hash == previous
        and event.hash == event_hash(event)
        and (anchor is None or anchor.sequence != sequence or anchor.hash == event.hash)
    )
