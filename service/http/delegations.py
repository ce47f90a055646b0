"""`/v1/delegations`: a role's decisions given to a JD-009 for certain days (SP-16)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, and_, col, or_, select

from models.actors import Actor, Scope
from models.approvals import Delegation
from models.database import transaction
from service import problems
from service.approvals.bench import Bench
from service.approvals.delegations import Handing, delegate, revoke
from service.approvals.rules import ApproverRole
from service.context import Services
from service.http.approval_documents import Delegate, DelegationDocument, DelegationPage
from service.http.dependencies import Decider, Reader, ServicesDep
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken

router = APIRouter(prefix="/v1/delegations", tags=["approvals"], dependencies=[Depends(json_only)])

DelegationId = Annotated[str, Path(max_length=64, description="The delegation's id.")]


class DelegationFilters(BaseModel):
    """Filters and page of the list of delegations."""

    model_config = ConfigDict(extra="forbid")

    role: ApproverRole | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.post(
    "",
    status_code=201,
    summary="Delegate a role",
    responses=documented(
        problems.INSUFFICIENT_SCOPE,
        problems.MAY_NOT_DELEGATE,
        problems.MALFORMED_BODY,
        problems.BODY_TOO_LARGE,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.INVALID_REQUEST,
    ),
)
def create_delegation(body: Delegate, services: ServicesDep, caller: Decider) -> DelegationDocument:
    """Let a JD-009 decide in a role, from one day to another, both included.

    Only who holds the role, or an administrator, gives it. It never counts for the giver's own
    requests, and not while the giver is disabled.
    """
    handing = Handing(**body.model_dump())
    is_admin = caller.token.grants(Scope.admin)
    with transaction(services.database) as session:
        delegation = delegate(
            session, caller.requester, caller.actor, handing, services.today(), is_admin=is_admin
        )
        return _document(session, services, delegation)


@router.get(
    "",
    summary="List delegations",
    responses=documented(
        problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
    ),
)
def list_delegations(
    filters: Annotated[DelegationFilters, Query()], services: ServicesDep, _caller: Reader
) -> DelegationPage:
    """Return a page of all delegations, those that have ended too, newest first."""
    pager = Pager(services.keyring, "delegations", {"role": filters.role})
    query = _listing(filters, pager.after(filters.page_token, 2))
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(filters.page_size + 1)).all()
        page = rows[: filters.page_size]
        items = [_document(session, services, delegation) for delegation in page]
    last = page[-1] if len(rows) > filters.page_size else None
    return DelegationPage(
        items=items,
        next_page_token=pager.token([last.created_at.isoformat(), last.id]) if last else None,
    )


@router.delete(
    "/{delegation_id}",
    summary="End a delegation",
    responses=documented(
        problems.NOT_FOUND,
        problems.INVALID_PARAMETER,
        problems.INSUFFICIENT_SCOPE,
        problems.MAY_NOT_DELEGATE,
    ),
)
def end_delegation(
    delegation_id: DelegationId, services: ServicesDep, caller: Decider
) -> DelegationDocument:
    """End a delegation at once; what was decided under it stays decided."""
    is_admin = caller.token.grants(Scope.admin)
    # Text that cannot be an id (a NUL, say) never gets as far as the database.
    plausible = delegation_id if delegation_id.isascii() and delegation_id.isalnum() else "-"
    with transaction(services.database) as session:
        ended = revoke(session, caller.requester, caller.actor, plausible, is_admin=is_admin)
        return _document(session, services, ended)


def _listing(filters: DelegationFilters, after: list[str] | None) -> Any:
    query = select(Delegation)
    at, row_id = col(Delegation.created_at), col(Delegation.id)
    if filters.role is not None:
        query = query.where(Delegation.role == filters.role)
    if after is not None:
        moment = datetime.fromisoformat(after[0])
        query = query.where(or_(at < moment, and_(at == moment, row_id < after[1])))
    return query.order_by(at.desc(), row_id.desc())


def _document(session: Session, services: Services, delegation: Delegation) -> DelegationDocument:
    bench = Bench.on(session, services.today())
    return DelegationDocument(
        id=delegation.id,
        role=delegation.role,
        actor=delegation.actor_id,
        name=session.get_one(Actor, delegation.actor_id).name,
        delegated_by=delegation.delegated_by,
        valid_from=delegation.valid_from,
        valid_until=delegation.valid_until,
        reason=delegation.reason,
        in_force=bench.counts(delegation),
        created_at=delegation.created_at,
        revoked_at=delegation.revoked_at,
        links={"self": f"/v1/delegations/{delegation.id}"},
    )
