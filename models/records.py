"""Records T-050-003: the numbered, versioned document that hands over one access key (SP-15)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import LargeBinary
from sqlmodel import Field, Session, UniqueConstraint, col, func, select

from models.base import JsonColumn, Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.database import lock_ledger
from models.sealing import SealedText


class PasswordForm(StrEnum):
    """From which form of the signer's name the document's password is made (SP-28)."""

    first_last = "first_last"
    full_name = "full_name"


class Record(Table, table=True):
    """One version of one record. A key has one number; a change of the data makes a new version.

    `frozen_input` is all that the document is rendered from, except the secret; `sha256` is that
    of the document as first issued. `code` is sealed: the part of the password that is handed
    over by another channel, where the password rule asks for one.
    """

    __tablename__ = "records"
    __table_args__ = (
        UniqueConstraint("number", "version"),
        UniqueConstraint("year", "sequence", "version"),
        UniqueConstraint("access_key_row_id", "version"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    number: str = Field(max_length=24)
    year: int
    sequence: int = Field(ge=1)
    client_id: str = Field(sa_column_args=references("clients.id"), index=True)
    access_key_row_id: str = Field(sa_column_args=references("access_keys.id"))
    version: int = Field(default=1, ge=1)
    template_version: str = Field(max_length=32)
    frozen_input: dict[str, Any] = Field(sa_type=JsonColumn)
    password_form: PasswordForm = Field(sa_type=enum_column(PasswordForm))
    issued_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    issued_by: str = Field(sa_column_args=references("actors.id"))
    sha256: str | None = Field(default=None, max_length=64)
    code: SealedText | None = Field(default=None, sa_type=LargeBinary, repr=False, exclude=True)
    code_shown_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def code_associated_data(self) -> str:
        """What the sealed code is bound to: this table, this column, this row."""
        return f"records/code/{self.id}"


def record_number(year: int, sequence: int) -> str:
    """The number as printed, `T-050-003-<year>-<nnnn>`; it grows past four digits when it must."""
    return f"T-050-003-{year}-{sequence:04d}"


def next_record_number(session: Session, year: int) -> int:
    """The next free sequence of the year, in the caller's transaction, without gaps.

    Add the record in the same transaction: others wait for its end before they get theirs.
    Raises WriteTransactionRequired outside a writing transaction.
    """
    lock_ledger(session)
    highest = session.exec(select(func.max(col(Record.sequence))).where(Record.year == year)).one()
    return (highest or 0) + 1
