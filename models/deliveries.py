"""How records reach their people: one-time links, e-mails, receipts (SP-15, SP-28, PB-13)."""

import hashlib
import secrets
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, Session, col, select

from models.base import BigCounter, Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.sealing import SealedText


class DeliveryEventKind(StrEnum):
    """What happened to a link."""

    created = "created"
    mailed = "mailed"
    mail_failed = "mail_failed"
    viewed = "viewed"
    downloaded = "downloaded"
    confirmed = "confirmed"


class MailState(StrEnum):
    """Where an e-mail stands."""

    pending = "pending"
    sent = "sent"
    failed = "failed"


class ReceiptHow(StrEnum):
    """What showed that the key reached its people: they said so, or AWS saw them use it."""

    confirmed = "confirmed"
    used = "used"


class RecordLink(Table, table=True):
    """A one-time link to a client's record. The token is known by its SHA-256 only.

    A plain hash is enough because the token is 256 random bits. One download by POST, then the
    link is used up; `confirmed_at` is when its receiver said that the key works.
    """

    __tablename__ = "record_links"
    __table_args__ = (Index("ix_record_links_client_id_created_at", "client_id", "created_at"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    client_id: str = Field(sa_column_args=references("clients.id"))
    access_key_row_id: str = Field(sa_column_args=references("access_keys.id"))
    token_sha256: str = Field(max_length=64, unique=True)
    created_by: str = Field(sa_column_args=references("actors.id"))
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    downloaded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DeliveryEvent(Table, table=True):
    """One thing that happened to a link, when, and from which network address."""

    __tablename__ = "delivery_events"
    __table_args__ = (Index("ix_delivery_events_link_id", "link_id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigCounter)
    link_id: str = Field(sa_column_args=references("record_links.id"))
    kind: DeliveryEventKind = Field(sa_type=enum_column(DeliveryEventKind))
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    network: str | None = Field(default=None, max_length=64)


class Mail(Table, table=True):
    """An e-mail on its way: `link` is sealed, and None again once it is sent or given up."""

    __tablename__ = "mails"
    __table_args__ = (Index("ix_mails_state_next_attempt_at", "state", "next_attempt_at"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    link_id: str = Field(sa_column_args=references("record_links.id"))
    recipient: str
    language: str = Field(max_length=8)
    link: SealedText | None = Field(default=None, sa_type=LargeBinary, repr=False, exclude=True)
    state: MailState = Field(default=MailState.pending, sa_type=enum_column(MailState))
    attempts: int = 0
    failure: str | None = None
    next_attempt_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def associated_data(self) -> str:
        """What the sealed link is bound to: this table, this column, this row."""
        return f"mails/link/{self.id}"


class Receipt(Table, table=True):
    """That a key reached its people, and when its secret is erased here; one a key."""

    __tablename__ = "receipts"

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    access_key_row_id: str = Field(sa_column_args=references("access_keys.id"), unique=True)
    client_id: str = Field(sa_column_args=references("clients.id"), index=True)
    how: ReceiptHow = Field(sa_type=enum_column(ReceiptHow))
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    erase_at: datetime = Field(sa_type=UtcDateTime, index=True)
    erased_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def new_token() -> str:
    """Return a new link's token: 256 random bits, in the characters of a URL."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def link_behind(session: Session, token: str, *, lock: bool = True) -> RecordLink | None:
    """Return the link of a token, whatever has become of it; None if unknown.

    Its row is locked unless told otherwise.
    """
    query = select(RecordLink).where(RecordLink.token_sha256 == token_digest(token))
    return session.exec(query.with_for_update() if lock else query).one_or_none()


def receipt_of(session: Session, access_key_row_id: str) -> Receipt | None:
    """Return the receipt of a key, or None."""
    query = select(Receipt).where(col(Receipt.access_key_row_id) == access_key_row_id)
    return session.exec(query).one_or_none()
