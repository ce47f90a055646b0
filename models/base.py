"""What every table shares: metadata, row ids, references, and types of columns."""

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Enum, ForeignKey, Integer, MetaData, inspect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import BigInteger, TypeDecorator
from sqlmodel import SQLModel

# Named constraints are what lets a later migration alter or drop them on either database.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

JsonColumn = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""JSON on either database. Assign a new list or dict: a change inside a stored one is not seen."""

BigCounter = BigInteger().with_variant(Integer(), "sqlite")
"""64-bit integer primary key; SQLite gives row ids only to a column declared INTEGER."""


class Table(SQLModel):
    """Base of every table: one metadata of our own, with the naming convention."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING_CONVENTION)


def references(column: str) -> list[ForeignKey]:
    """A reference to `table.column`, checked when the transaction commits.

    Deferred, because without mapped relationships rows of several tables that are added together
    are not inserted in the order of their references.
    """
    return [ForeignKey(column, deferrable=True, initially="DEFERRED")]


class NaiveDateTimeError(ValueError):
    """A time without a zone was about to be stored; give it one (`datetime.now(UTC)`)."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware on both sides, kept as UTC (SQLite has no zones, PostgreSQL does)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC; raise NaiveDateTimeError for one without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveDateTimeError("A time without a zone cannot be stored; use an aware one.")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the base class passes it
    ) -> datetime | None:
        """Give the stored time its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_column(members: type[StrEnum]) -> Enum:
    """A text column that holds the members' values and refuses any other.

    Kept as text without a CHECK, so that a new member needs no rebuilt table on SQLite.
    """
    return Enum(
        members,
        native_enum=False,
        create_constraint=False,
        length=32,
        validate_strings=True,
        values_callable=_values,
    )


def _values(members: Any) -> list[str]:
    return [str(member.value) for member in members]


def is_new(row: SQLModel) -> bool:
    """Tell whether the row was never written to the database, so that nothing refers to it."""
    state = inspect(row)
    return bool(state.transient or state.pending)


def new_id() -> str:
    """A new row id: 32 lower-case hexadecimal digits (a random UUID)."""
    return uuid.uuid4().hex


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)
