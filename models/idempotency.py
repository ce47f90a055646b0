"""Idempotency keys: which operation a caller's key has already started."""

from datetime import datetime

from sqlmodel import Field

from models.base import Table, UtcDateTime, references, utc_now


class IdempotencyKey(Table, table=True):
    """A key that an actor has used. Same key and body: the same operation; another body: refused.

    `key` is the header's value without quotes, at most 255 characters; `body_sha256` is over the
    method, the path and the body.
    """

    __tablename__ = "idempotency_keys"

    actor_id: str = Field(sa_column_args=references("actors.id"), primary_key=True)
    key: str = Field(primary_key=True, max_length=255)
    body_sha256: str = Field(max_length=64)
    operation_id: str = Field(sa_column_args=references("operations.id"), index=True)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)
