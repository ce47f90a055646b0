"""Access keys of a client's IAM user, with the secret sealed (SP-21, SP-22, RX-03)."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import LargeBinary
from sqlmodel import Field, UniqueConstraint

from models.base import Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.sealing import Keyring, SealedText


class AccessKeyStatus(StrEnum):
    """Whether a key works in AWS: `active`, switched off, or gone."""

    active = "active"
    inactive = "inactive"
    deleted = "deleted"


class AccessKey(Table, table=True):
    """One generation of a client's access key.

    The row exists before the key does (`access_key_id` None); `secret` is sealed, and None again
    once it has been erased. `proven_at`: when the key was first seen to work. `turn_off_at` and
    `delete_at` are durable timers of a rotation; `aged_at` is when the key was reported as too old.
    `failed_tries` counts how often in a row what the clock began for the key failed.
    """

    __tablename__ = "access_keys"
    __table_args__ = (UniqueConstraint("client_id", "generation"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    client_id: str = Field(sa_column_args=references("clients.id"))
    generation: int = Field(ge=1)
    access_key_id: str | None = Field(default=None, max_length=128, unique=True)
    secret: SealedText | None = Field(default=None, sa_type=LargeBinary, repr=False, exclude=True)
    status: AccessKeyStatus = Field(
        default=AccessKeyStatus.active, sa_type=enum_column(AccessKeyStatus)
    )
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    proven_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    turn_off_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    delete_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    aged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failed_tries: int = 0

    @property
    def associated_data(self) -> str:
        """What the sealed secret is bound to: this table, this column, this row."""
        return f"access_keys/secret/{self.id}"

    def seal_secret(self, keyring: Keyring, secret: str) -> None:
        """Keep the secret, sealed and bound to this row."""
        self.secret = keyring.seal(secret, aad=self.associated_data)

    def open_secret(self, keyring: Keyring) -> str | None:
        """The secret in clear, or None when none is kept; raises SealingError for a damaged one."""
        if self.secret is None:
            return None
        return keyring.open(self.secret, aad=self.associated_data)
