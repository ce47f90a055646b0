"""Approvals that an operation waits for, who decided them, and dated delegations (SP-04, SP-16)."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import declared_attr
from sqlmodel import Field, Session, UniqueConstraint, col, select

from models.base import Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.operations import Operation


class Condition(StrEnum):
    """What makes an opening wait for people: a rule names one of these as its `when`."""

    other_jurisdiction = "other-jurisdiction"
    special_category = "special-category"
    profile = "profile"


class ApprovalState(StrEnum):
    """Where an approval stands. All but `waiting` are final."""

    waiting = "waiting"
    approved = "approved"
    rejected = "rejected"
    expired = "expired"
    withdrawn = "withdrawn"


class Verdict(StrEnum):
    """What one person decides."""

    approve = "approve"
    reject = "reject"


class Approval(Table, table=True):
    """One rule that an operation has to meet before its work may begin.

    `rule` to `alternate` are copied from the rules as they were at the request, so that a later
    change of the rules changes nothing that waits. `value` is what met the condition: a country,
    a profile, or None. `withdrawn`: the operation ended for another reason. `revision` guards
    against two decisions at once.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        UniqueConstraint("operation_id", "rule"),
        CheckConstraint("needed >= 1", name="needed_is_positive"),
        Index("ix_approvals_requested_at_id", "requested_at", "id"),
        Index(
            "ix_approvals_waiting",
            "expires_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.revision}  # type: ignore[attr-defined]

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    operation_id: str = Field(sa_column_args=references("operations.id"))
    client_id: str = Field(sa_column_args=references("clients.id"), index=True)
    rule: str = Field(max_length=64)
    condition: Condition = Field(sa_type=enum_column(Condition))
    value: str | None = Field(default=None, max_length=64)
    role: str = Field(max_length=32)
    needed: int = 1
    alternate: str = Field(max_length=32)
    state: ApprovalState = Field(default=ApprovalState.waiting, sa_type=enum_column(ApprovalState))
    requested_by: str = Field(sa_column_args=references("actors.id"))
    requested_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revision: int = 1


class Decision(Table, table=True):
    """What one person decided, in which role, and why. Rows are never changed.

    `delegation_id` is set where the person held the role by delegation only (SP-16).
    """

    __tablename__ = "approval_decisions"
    __table_args__ = (UniqueConstraint("approval_id", "actor_id"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    approval_id: str = Field(sa_column_args=references("approvals.id"))
    actor_id: str = Field(sa_column_args=references("actors.id"))
    verdict: Verdict = Field(sa_type=enum_column(Verdict))
    role: str = Field(max_length=32)
    delegation_id: str | None = Field(
        default=None, sa_column_args=references("delegations.id"), max_length=32
    )
    reason: str
    decided_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Delegation(Table, table=True):
    """A role's decisions given to a person for certain days, both included (SP-16)."""

    __tablename__ = "delegations"
    __table_args__ = (
        CheckConstraint("valid_from <= valid_until", name="begins_before_it_ends"),
        Index("ix_delegations_created_at_id", "created_at", "id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    role: str = Field(max_length=32)
    actor_id: str = Field(sa_column_args=references("actors.id"), index=True)
    delegated_by: str = Field(sa_column_args=references("actors.id"))
    valid_from: date
    valid_until: date
    reason: str
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_by: str | None = Field(default=None, sa_column_args=references("actors.id"))

    def valid_on(self, day: date) -> bool:
        """Whether the delegation holds on this day of the organisation's calendar."""
        return self.revoked_at is None and self.valid_from <= day <= self.valid_until


def approvals_of(session: Session, operation: Operation) -> list[Approval]:
    """All approvals that the operation waits or waited for, by the name of their rule."""
    query = select(Approval).where(Approval.operation_id == operation.id)
    return list(session.exec(query.order_by(col(Approval.rule))))


def decisions_on(session: Session, approval: Approval) -> list[Decision]:
    """What was decided on the approval so far, in order."""
    query = select(Decision).where(Decision.approval_id == approval.id)
    return list(session.exec(query.order_by(col(Decision.decided_at))))
