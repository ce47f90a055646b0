"""Approvals of the record's template, a controlled document (SP-08, SP-29, SP-30)."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, Session, UniqueConstraint, col, select

from models.base import Table, UtcDateTime, enum_column, new_id, references, utc_now


class ApprovalStep(StrEnum):
    """A signature on a template; the members stand in the order in which they are due."""

    author = "author"
    reviewer = "reviewer"
    approver = "approver"


class TemplateApproval(Table, table=True):
    """One signature on one version of the template. Rows are never changed.

    `commit_id`: the verified commit that is the signature (SP-29); `digest`: the SHA-256 of what
    the version said when it was signed. Each step is signed once, and nobody signs two steps of
    one version.
    """

    __tablename__ = "template_approvals"
    __table_args__ = (
        UniqueConstraint("template_version", "step"),
        UniqueConstraint("template_version", "actor_id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    template_version: str = Field(max_length=32)
    step: ApprovalStep = Field(sa_type=enum_column(ApprovalStep))
    role: str = Field(max_length=32)
    actor_id: str = Field(sa_column_args=references("actors.id"))
    approved_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    commit_id: str = Field(max_length=64)
    digest: str = Field(max_length=64)


def template_approvals(session: Session) -> list[TemplateApproval]:
    """All signatures, those of one version in the order in which they were given."""
    query = select(TemplateApproval)
    return list(session.exec(query.order_by(col(TemplateApproval.approved_at))))
