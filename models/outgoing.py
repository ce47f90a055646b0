"""What is told to other programs: the feed of events, who is told, and each delivery (issue 7).

An event is written in the transaction that it tells of, with one delivery for each endpoint that
wants it. None of these rows holds a secret in clear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, Session, UniqueConstraint, col, func, select

from models.base import (
    BigCounter,
    JsonColumn,
    Table,
    UtcDateTime,
    enum_column,
    new_id,
    references,
    utc_now,
)
from models.database import Turn, lock_turn, say_last
from models.sealing import Keyring


class EventType(StrEnum):
    """What an event tells of; the names are part of the API."""

    operation_succeeded = "operation.succeeded"
    operation_failed = "operation.failed"
    approval_requested = "approval.requested"
    record_ready = "record.ready"
    client_closed = "client.closed"
    key_expiring = "key.expiring"


class DeliveryState(StrEnum):
    """Where a delivery stands; `dead` is the dead-letter list, `cancelled` had its endpoint
    deleted.
    """

    pending = "pending"
    delivered = "delivered"
    dead = "dead"
    cancelled = "cancelled"


class FeedEvent(Table, table=True):
    """One event; `sequence` counts from 1 without gaps, in the order of the commits.

    `id` is the `webhook-id` of every attempt to deliver it. `client_id` and `operation_id` are no
    foreign keys, as in the audit chain: checking them would lock those rows after the ledger, the
    wrong way round (see `models.database.lock_ledger`). Neither kind of row is ever deleted.
    """

    __tablename__ = "feed_events"
    __table_args__ = (Index("ix_feed_events_client_id_sequence", "client_id", "sequence"),)

    sequence: int = Field(
        primary_key=True, sa_type=BigCounter, sa_column_kwargs={"autoincrement": False}
    )
    id: str = Field(default_factory=new_id, unique=True, max_length=32)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    type: EventType = Field(sa_type=enum_column(EventType))
    client_id: str = Field(max_length=32)
    operation_id: str | None = Field(default=None, max_length=32)
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JsonColumn)


class WebhookEndpoint(Table, table=True):
    """An address that is told of events. Deleted ones stay without their secrets: deliveries
    refer to them.

    `event_types` None means all. `previous_secret` signs too until `previous_secret_until`, so
    that a receiver can change over in its own time.
    """

    __tablename__ = "webhook_endpoints"

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    url: str = Field(max_length=2000)
    description: str | None = Field(default=None, max_length=200)
    event_types: list[str] | None = Field(default=None, sa_type=JsonColumn)
    secret: bytes | None = Field(default=None, repr=False, exclude=True)
    previous_secret: bytes | None = Field(default=None, repr=False, exclude=True)
    previous_secret_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_by: str = Field(sa_column_args=references("actors.id"))
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    def wants(self, kind: EventType) -> bool:
        """Tell whether the endpoint is to be told of this type."""
        return self.event_types is None or kind.value in self.event_types

    def replace_secret(self, keyring: Keyring, plain: str, *, keep_until: datetime | None) -> None:
        """Seal a new secret; with `keep_until` the one before signs as well until then."""
        self.previous_secret = self.secret if keep_until else None
        self.previous_secret_until = keep_until
        self.secret = keyring.seal(plain, aad=self._bound_to)

    def open_secrets(self, keyring: Keyring, at: datetime) -> list[str]:
        """Return the secrets that sign at this moment, the newest first; none once deleted.

        Raises `models.sealing.UnknownKey` or `SealBroken`.
        """
        overlap = self.previous_secret_until is not None and at < self.previous_secret_until
        sealed = [self.secret, self.previous_secret if overlap else None]
        return [keyring.open(blob, aad=self._bound_to) for blob in sealed if blob is not None]

    def forget_secrets(self) -> None:
        """Erase the secrets, for an endpoint that is deleted."""
        self.secret = self.previous_secret = self.previous_secret_until = None

    @property
    def _bound_to(self) -> str:
        return f"webhook_endpoints/secret/{self.id}"


class WebhookDelivery(Table, table=True):
    """One event on its way to one endpoint.

    `attempts` counts the tries begun. Taking a delivery up counts one and moves `next_attempt_at`
    past the lease, so that it comes due again if its process dies. `last_status` and
    `last_reason` tell how the latest try failed; nothing of the receiver's answer is kept.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_sequence"),
        Index("ix_webhook_deliveries_state_next_attempt_at", "state", "next_attempt_at"),
        Index("ix_webhook_deliveries_created_at_id", "created_at", "id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    endpoint_id: str = Field(sa_column_args=references("webhook_endpoints.id"))
    event_sequence: int = Field(
        sa_type=BigCounter, sa_column_args=references("feed_events.sequence")
    )
    state: DeliveryState = Field(default=DeliveryState.pending, sa_type=enum_column(DeliveryState))
    attempts: int = 0
    next_attempt_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    last_status: int | None = None
    last_reason: str | None = Field(default=None, max_length=200)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


@dataclass(frozen=True)
class NewFeedEvent:
    """An event that is to be appended to the feed; `data` holds no secret and no name."""

    kind: EventType
    client_id: str
    operation_id: str | None
    data: dict[str, Any]


def append_feed_event(session: Session, new: NewFeedEvent) -> None:
    """Append an event to the feed, in the caller's transaction, with a delivery for each endpoint
    that wants it.

    Its sequence is given when the transaction commits, under a lock, so that no reader ever sees a
    later event before an earlier one. Raises WriteTransactionRequired.
    """
    say_last(session, Turn.feed, _append, new)


def _append(session: Session, events: Sequence[NewFeedEvent]) -> None:
    endpoints = active_endpoints(session)
    lock_turn(session, Turn.feed)
    highest = session.exec(select(func.max(col(FeedEvent.sequence)))).one() or 0
    for sequence, new in enumerate(events, start=highest + 1):
        session.add(
            FeedEvent(
                sequence=sequence,
                type=new.kind,
                client_id=new.client_id,
                operation_id=new.operation_id,
                data=new.data,
            )
        )
        for endpoint in endpoints:
            if endpoint.wants(new.kind):
                session.add(WebhookDelivery(endpoint_id=endpoint.id, event_sequence=sequence))
    session.flush()


def active_endpoints(session: Session) -> Sequence[WebhookEndpoint]:
    """Return the endpoints that are told of events, oldest first."""
    query = select(WebhookEndpoint).where(col(WebhookEndpoint.deleted_at).is_(None))
    return session.exec(query.order_by(col(WebhookEndpoint.created_at))).all()
