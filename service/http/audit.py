"""`/v1/audit` and `/v1/clients/{slug}/audit`: the hash-chained log of who did what (RX-17)."""

from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from models.audit import AuditEvent, verify_chain
from models.database import transaction
from service import problems
from service.context import Services
from service.http.dependencies import Admin, Caller, Reader, ServicesDep
from service.http.documents import AuditEventDocument, AuditPage, ChainDocument
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import Slug
from service.http.reading import client_within_reach
from service.problems import Problem

router = APIRouter(prefix="/v1", tags=["audit"])


class AuditPaging(BaseModel):
    """Page of the audit chain."""

    model_config = ConfigDict(extra="forbid")

    page_size: PageSize = 100
    page_token: PageToken = None


Paging = Annotated[AuditPaging, Query()]
_PAGES = documented(
    problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
)


@router.get("/audit", summary="Read the audit chain", responses=_PAGES)
def list_audit(paging: Paging, services: ServicesDep, caller: Admin) -> AuditPage:
    """Return a page of the whole chain, oldest first."""
    require_unlimited(caller)
    return _page(services, paging, None)


@router.get(
    "/audit/verify",
    summary="Verify the audit chain",
    responses=documented(problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER),
)
async def verify_audit(request: Request, services: ServicesDep, caller: Admin) -> ChainDocument:
    """Recompute every hash and say where the chain first does not hold, if anywhere."""
    require_unlimited(caller)
    limiter = request.app.state.looks
    assert isinstance(limiter, CapacityLimiter)
    return await run_sync(_verify, services, limiter=limiter)


@router.get(
    "/clients/{slug}/audit",
    summary="Read a client's audit",
    responses=_PAGES | documented(problems.NOT_FOUND),
)
def list_client_audit(
    slug: Slug, paging: Paging, services: ServicesDep, caller: Reader
) -> AuditPage:
    """Return a page of what was done to one client, oldest first."""
    with transaction(services.database, write=False) as session:
        client_id = client_within_reach(session, caller, slug).id
    return _page(services, paging, client_id)


def _page(services: Services, paging: AuditPaging, client_id: str | None) -> AuditPage:
    pager = Pager(services.keyring, "audit", {"client_id": client_id})
    after = pager.after(paging.page_token, 1)
    query = select(AuditEvent).order_by(col(AuditEvent.sequence))
    if client_id is not None:
        query = query.where(AuditEvent.client_id == client_id)
    if after is not None:
        query = query.where(AuditEvent.sequence > int(after[0]))
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(paging.page_size + 1)).all()
    page = rows[: paging.page_size]
    more = len(rows) > paging.page_size
    return AuditPage(
        items=[AuditEventDocument.model_validate(event) for event in page],
        next_page_token=pager.token([str(page[-1].sequence)]) if more else None,
    )


def _verify(services: Services) -> ChainDocument:
    with transaction(services.database, write=False) as session:
        return ChainDocument.model_validate(verify_chain(session))


def require_unlimited(caller: Caller, what: str = "The chain tells of every client") -> None:
    """Raise the 403 for a token that is limited to some clients."""
    if caller.token.slugs is not None:
        raise Problem(
            problems.INSUFFICIENT_SCOPE,
            f"{what}, and the token is limited to some.",
            members={"scope": "admin"},
        )
