"""Webhooks that come in: connections to other tools, and the events that they brought.

An event is kept once for each connection, for ever, by `dedupe_key`: the vendor's event id where
that is documented as unique, else a hash of what the event says.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Index, Text, and_, func, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, LargeBinary, Session, UniqueConstraint, col, select, update

from models.base import JsonColumn, Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.clients import Client, Contract
from models.sealing import Keyring
from models.states import check_transition

_REFERENCE_LOCK = 0x48616E57


class WebhookKind(StrEnum):
    """Which tool sends, and so how its deliveries are signed and read."""

    standard = "standard"
    hubspot = "hubspot"
    docusign = "docusign"
    pandadoc = "pandadoc"
    zoho_sign = "zoho-sign"
    pipedrive = "pipedrive"


class WebhookEventState(StrEnum):
    """Where an event stands."""

    received = "received"
    processing = "processing"
    opened = "opened"
    duplicate = "duplicate"
    ignored = "ignored"
    needs_attention = "needs_attention"


_FINISHED = frozenset(
    {
        WebhookEventState.opened,
        WebhookEventState.duplicate,
        WebhookEventState.ignored,
        WebhookEventState.needs_attention,
    }
)
WEBHOOK_EVENT_TRANSITIONS: Mapping[WebhookEventState, frozenset[WebhookEventState]] = {
    WebhookEventState.received: frozenset({WebhookEventState.processing}),
    # Back to `received` when the tool's API did not answer and is asked again later.
    WebhookEventState.processing: _FINISHED | {WebhookEventState.received},
    WebhookEventState.needs_attention: frozenset({WebhookEventState.received}),
    WebhookEventState.ignored: frozenset({WebhookEventState.received}),
    WebhookEventState.duplicate: frozenset(),
    WebhookEventState.opened: frozenset(),
}
"""To which states an event may move from each. A person may replay what was ignored or needs
attention; what has opened an area, or was one too many, stays."""


class WebhookConnection(Table, table=True):
    """One tool that may report signed contracts. Never deleted, only made inactive.

    The secret is sealed; after a rotation the one before stays valid until `previous_until`.
    `credential` is what the service shows at the tool's API at `api_url`, for kinds whose events
    carry ids only. `signed_value` is the value that means "signed" where the kind leaves it open
    (a HubSpot deal stage). `mapping` overrides the kind's default mapping, field by field.
    """

    __tablename__ = "webhook_connections"

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    name: str = Field(unique=True, max_length=64)
    kind: WebhookKind = Field(sa_type=enum_column(WebhookKind))
    actor_id: str = Field(sa_column_args=references("actors.id"))
    secret: bytes = Field(sa_type=LargeBinary, repr=False, exclude=True)
    previous_secret: bytes | None = Field(
        default=None, sa_type=LargeBinary, repr=False, exclude=True
    )
    previous_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    username: str | None = Field(default=None, max_length=64)
    signed_value: str | None = Field(default=None, max_length=100)
    mapping: dict[str, Any] = Field(default_factory=dict, sa_type=JsonColumn)
    api_url: str | None = Field(default=None, max_length=200)
    credential: bytes | None = Field(default=None, sa_type=LargeBinary, repr=False, exclude=True)
    active: bool = True
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: datetime = Field(
        default_factory=utc_now, sa_type=UtcDateTime, sa_column_kwargs={"onupdate": utc_now}
    )

    def seal_secret(self, keyring: Keyring, plain: str) -> None:
        """Make `plain` the secret that deliveries are verified with."""
        self.secret = keyring.seal(plain, aad=self._aad("secret"))

    def replace_secret(self, keyring: Keyring, plain: str, *, overlap: timedelta) -> None:
        """Make `plain` the secret; the present one stays valid for `overlap`."""
        present = keyring.open(self.secret, aad=self._aad("secret"))
        keep = overlap > timedelta(0)
        self.previous_secret = keyring.seal(present, aad=self._aad("previous")) if keep else None
        self.previous_until = utc_now() + overlap if keep else None
        self.seal_secret(keyring, plain)

    def secrets(self, keyring: Keyring, at: datetime) -> list[str]:
        """The secrets that are valid at this moment, the present one first."""
        found = [keyring.open(self.secret, aad=self._aad("secret"))]
        overlapping = self.previous_until is not None and at < self.previous_until
        if self.previous_secret is not None and overlapping:
            found.append(keyring.open(self.previous_secret, aad=self._aad("previous")))
        return found

    def seal_credential(self, keyring: Keyring, plain: str | None) -> None:
        """Keep what the service shows at the tool's API; None for nothing."""
        self.credential = keyring.seal(plain, aad=self._aad("credential")) if plain else None

    def open_credential(self, keyring: Keyring) -> str | None:
        """What the service shows at the tool's API."""
        if self.credential is None:
            return None
        return keyring.open(self.credential, aad=self._aad("credential"))

    def _aad(self, what: str) -> str:
        return f"webhook_connections/{what}/{self.id}"


class WebhookEvent(Table, table=True):
    """One event that a connection brought, with what became of it.

    `body` is the event as JSON in ASCII: text, since PostgreSQL's JSON refuses some of it.
    `mapped` is the request that was made of it, likewise. `missing` names the request's fields
    that are missing or not acceptable; `completion` holds those that a person gave, and
    `completed_by` who: the request is theirs then, so that they do not approve it. What an event
    says is erased in time (`forget_events`), and `body` is empty then. While it is
    processed, `leased_until` keeps other processes away; after that a dead one's event is free.
    """

    __tablename__ = "webhook_events"
    __table_args__ = (
        UniqueConstraint("connection_id", "dedupe_key"),
        Index("ix_webhook_events_state_due_at", "state", "due_at"),
        Index("ix_webhook_events_received_at_id", "received_at", "id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    connection_id: str = Field(sa_column_args=references("webhook_connections.id"))
    dedupe_key: str = Field(max_length=64)
    state: WebhookEventState = Field(
        default=WebhookEventState.received, sa_type=enum_column(WebhookEventState)
    )
    body: str = Field(sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)
    missing: list[str] = Field(default_factory=list, sa_type=JsonColumn)
    mapped: str | None = Field(default=None, sa_type=Text)
    completion: str | None = Field(default=None, sa_type=Text)
    completed_by: str | None = Field(default=None, sa_column_args=references("actors.id"))
    operation_id: str | None = Field(
        default=None, sa_column_args=references("operations.id"), index=True
    )
    client_id: str | None = Field(default=None, sa_column_args=references("clients.id"))
    attempts: int = 0
    due_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    leased_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def keep_event(session: Session, event: WebhookEvent) -> bool:
    """Insert the event unless its connection has brought it before; tell whether it is new."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(WebhookEvent)
        .values(event.model_dump())
        .on_conflict_do_nothing(index_elements=["connection_id", "dedupe_key"])
        .returning(col(WebhookEvent.id))
    )
    return session.connection().execute(statement).first() is not None


def due_events(session: Session, now: datetime, limit: int) -> list[str]:
    """Ids of events to process: those due, and those whose process died, oldest first."""
    query = select(WebhookEvent.id).where(_free(now))
    return list(session.exec(query.order_by(col(WebhookEvent.received_at)).limit(limit)))


def claim_event(session: Session, event_id: str, now: datetime, lease: timedelta) -> bool:
    """Take an event up; False when another process has, or it is not due (conditional UPDATE)."""
    claim = (
        update(WebhookEvent)
        .where(col(WebhookEvent.id) == event_id, _free(now))
        .values(
            state=WebhookEventState.processing,
            leased_until=now + lease,
            attempts=col(WebhookEvent.attempts) + 1,
        )
        .execution_options(synchronize_session=False)
    )
    return session.connection().execute(claim).rowcount == 1


def forget_events(session: Session, before: datetime) -> int:
    """Erase what settled events say that ended before this; that they came stays known.

    What needs attention is kept until somebody has looked at it. Returns how many were erased.
    """
    settled = (WebhookEventState.opened, WebhookEventState.duplicate, WebhookEventState.ignored)
    forget = (
        update(WebhookEvent)
        .where(
            col(WebhookEvent.state).in_(settled),
            col(WebhookEvent.finished_at) < before,
            col(WebhookEvent.body) != "",
        )
        .values(body="", mapped=None, completion=None)
        .execution_options(synchronize_session=False)
    )
    return session.connection().execute(forget).rowcount


def move_event(event: WebhookEvent, to: WebhookEventState) -> None:
    """Move an event to another state; the one function that does, but for `claim_event`.

    Raises IllegalTransition when WEBHOOK_EVENT_TRANSITIONS does not permit the move.
    """
    check_transition(WEBHOOK_EVENT_TRANSITIONS, event.state, to, f"Webhook event {event.id}")
    event.state = to
    event.leased_until = None
    event.finished_at = utc_now() if to in _FINISHED else None


def _free(now: datetime) -> ColumnElement[bool]:
    state, due, lease = (
        col(WebhookEvent.state),
        col(WebhookEvent.due_at),
        col(WebhookEvent.leased_until),
    )
    return or_(
        and_(state == WebhookEventState.received, due <= now),
        and_(state == WebhookEventState.processing, lease <= now),
    )


def lock_reference(session: Session, reference_key: str) -> None:
    """Let one transaction at a time decide about a contract's reference (PostgreSQL).

    Take it before any row. SQLite has one writer anyway.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        key = func.hashtext(reference_key)
        connection.execute(select(func.pg_advisory_xact_lock(_REFERENCE_LOCK, key)))


def clients_under(session: Session, reference_key: str) -> list[Client]:
    """Every client that has or had a contract of this reference, oldest first."""
    under = select(Contract.client_id).where(Contract.reference_key == reference_key)
    query = select(Client).where(col(Client.id).in_(under))
    return list(session.exec(query.order_by(col(Client.created_at))))
