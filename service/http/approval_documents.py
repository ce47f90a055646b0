"""The JSON of approvals and delegations: what is sent, and what is answered."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field

from models.approvals import ApprovalState, Condition, Verdict
from models.operations import OperationKind
from service.approvals.deciding import MAX_REASON, MIN_REASON
from service.approvals.rules import ApproverRole
from service.http.documents import Document
from service.requests import IsoDate, PlainText


class Decide(BaseModel):
    """Why somebody approves or rejects."""

    model_config = ConfigDict(extra="forbid")

    reason: PlainText = Field(
        min_length=MIN_REASON,
        max_length=MAX_REASON,
        examples=["Standard contractual clauses are signed"],
    )


class Delegate(BaseModel):
    """A wish to delegate a role's decisions for certain days (SP-16)."""

    model_config = ConfigDict(extra="forbid")

    role: ApproverRole
    actor: PlainText = Field(
        min_length=1, max_length=100, description="Name of an active person who is a JD-009."
    )
    valid_from: IsoDate
    valid_until: IsoDate = Field(description="Last day of the delegation.")
    reason: PlainText = Field(min_length=MIN_REASON, max_length=MAX_REASON, examples=["Holidays"])


class DecisionDocument(Document):
    """What one person decided."""

    actor: str = Field(description="Row id of the person.")
    name: str
    verdict: Verdict
    role: str = Field(description="The role in which they decided.", examples=["JD-005"])
    delegation: str | None = Field(description="The delegation, where the role is not their own.")
    reason: str
    decided_at: datetime


class OperationApprovalDocument(Document):
    """One rule that an operation has to meet before its work begins."""

    id: str
    rule: str = Field(examples=["jurisdiction"])
    condition: Condition
    value: str | None = Field(description="What met the condition.", examples=["US"])
    role: str = Field(examples=["JD-005"])
    alternate: str = Field(
        description="Who decides where the requester is the only one with the role."
    )
    needed: int = Field(description="How many people have to approve.")
    given: int = Field(description="How many have approved so far.")
    state: ApprovalState
    mine: bool = Field(description="Whether the caller may decide it now.")
    client: str = Field(description="The client's slug.", examples=["ABC-LLC"])
    operation: str
    kind: OperationKind
    requested_by: str = Field(description="Row id of the actor.")
    requested_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    decisions: list[DecisionDocument]
    links: dict[str, str]


class OperationApprovalPage(Document):
    """One page of approvals, newest first."""

    items: list[OperationApprovalDocument]
    next_page_token: str | None


class DelegationDocument(Document):
    """A role's decisions given to a person for certain days, both included."""

    id: str
    role: str = Field(examples=["JD-005"])
    actor: str = Field(description="Row id of the person to whom it is given.")
    name: str
    delegated_by: str = Field(description="Row id of who gave it.")
    valid_from: date
    valid_until: date
    reason: str
    in_force: bool = Field(description="Whether its days and its people are such that it counts.")
    created_at: datetime
    revoked_at: datetime | None
    links: dict[str, str]


class DelegationPage(Document):
    """One page of delegations, newest first."""

    items: list[DelegationDocument]
    next_page_token: str | None
