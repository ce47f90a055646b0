"""`/v1/approvals`: what waits for people, and their decisions (SP-04, SP-09)."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import and_, col, or_

from models.approvals import Approval, ApprovalState, Verdict
from models.database import transaction
from models.operations import OperationState
from service import problems
from service.approvals.deciding import Wish, decide
from service.context import Services
from service.http.approval_documents import (
    Decide,
    OperationApprovalDocument,
    OperationApprovalPage,
)
from service.http.approval_reading import (
    Docket,
    approval_documents,
    docket_within_reach,
    dockets,
    mine,
)
from service.http.dependencies import Caller, Decider, Reader, ServicesDep
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import FilterText

router = APIRouter(prefix="/v1/approvals", tags=["approvals"], dependencies=[Depends(json_only)])

ApprovalId = Annotated[str, Path(description="The approval's id.")]
_DECIDES = documented(
    problems.NOT_FOUND,
    problems.INSUFFICIENT_SCOPE,
    problems.MAY_NOT_DECIDE,
    problems.APPROVAL_ENDED,
    problems.CONTRACT_NOT_SIGNED,
    problems.CONTRACT_ENDED,
    problems.MALFORMED_BODY,
    problems.BODY_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID_REQUEST,
)


class ApprovalFilters(BaseModel):
    """Filters and page of the list of approvals."""

    model_config = ConfigDict(extra="forbid")

    state: ApprovalState | None = None
    mine: Annotated[bool, Query(description="Only those that the caller may decide now.")] = False
    operation: FilterText | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.get(
    "",
    summary="List approvals",
    responses=documented(
        problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
    ),
)
def list_approvals(
    filters: Annotated[ApprovalFilters, Query()], services: ServicesDep, caller: Reader
) -> OperationApprovalPage:
    """Return a page of the approvals of clients within the token's reach, newest first."""
    bound = filters.model_dump(exclude={"page_size", "page_token"})
    bound |= {"slugs": caller.token.slugs, "actor": caller.actor.id if filters.mine else None}
    pager = Pager(services.keyring, "approvals", bound)
    after = pager.after(filters.page_token, 2)
    query = dockets(caller)
    at, row_id = col(Approval.requested_at), col(Approval.id)
    if filters.state is not None:
        query = query.where(Approval.state == filters.state)
    if filters.operation is not None:
        query = query.where(Approval.operation_id == filters.operation)
    if after is not None:
        moment = datetime.fromisoformat(after[0])
        query = query.where(or_(at < moment, and_(at == moment, row_id < after[1])))
    with transaction(services.database, write=False) as session:
        own = mine(session, services, caller)
        if filters.mine:
            query = query.where(row_id.in_(sorted(own)))
        query = query.order_by(at.desc(), row_id.desc()).limit(filters.page_size + 1)
        rows = [Docket(*row) for row in session.exec(query).all()]
        page = rows[: filters.page_size]
        items = approval_documents(session, page, own)
    last = page[-1].approval if len(rows) > filters.page_size else None
    return OperationApprovalPage(
        items=items,
        next_page_token=pager.token([last.requested_at.isoformat(), last.id]) if last else None,
    )


@router.get(
    "/{approval_id}",
    summary="Read an approval",
    responses=documented(
        problems.NOT_FOUND, problems.INVALID_PARAMETER, problems.INSUFFICIENT_SCOPE
    ),
)
def read_approval(
    approval_id: ApprovalId, services: ServicesDep, caller: Reader
) -> OperationApprovalDocument:
    """Return an approval, with what was decided on it, by whom and why."""
    return _document(services, caller, approval_id)


@router.post("/{approval_id}/approve", summary="Approve", responses=_DECIDES)
def approve(
    approval_id: ApprovalId, body: Decide, services: ServicesDep, caller: Decider
) -> OperationApprovalDocument:
    """Approve; with the last approval that it needs the operation begins.

    Needs the role, or a delegation that holds today; nobody approves their own request. The gates
    that depend on the date are checked again. Sent again it changes nothing.
    """
    return _decide(services, caller, approval_id, Verdict.approve, body.reason)


@router.post("/{approval_id}/reject", summary="Reject", responses=_DECIDES)
def reject(
    approval_id: ApprovalId, body: Decide, services: ServicesDep, caller: Decider
) -> OperationApprovalDocument:
    """Reject: the operation is cancelled, and nothing was made. Needs the same as to approve."""
    return _decide(services, caller, approval_id, Verdict.reject, body.reason)


def _decide(
    services: Services, caller: Caller, approval_id: str, verdict: Verdict, reason: str
) -> OperationApprovalDocument:
    with transaction(services.database) as session:
        known = docket_within_reach(session, caller, approval_id).approval.id
        wish = Wish(known, caller.actor, verdict, reason, caller.requester)
        operation = decide(session, services.settings, wish)
    services.hub.publish(operation.id)
    if operation.state is OperationState.pending:
        services.dispatcher.start(operation.id)
    return _document(services, caller, approval_id)


def _document(services: Services, caller: Caller, approval_id: str) -> OperationApprovalDocument:
    with transaction(services.database, write=False) as session:
        docket = docket_within_reach(session, caller, approval_id)
        return approval_documents(session, [docket], mine(session, services, caller))[0]
