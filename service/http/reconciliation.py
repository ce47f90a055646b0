"""`/v1/reconciliation`: what AWS and the records disagree on, looked at anew with each request."""

from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service import problems
from service.context import Services
from service.http.audit import require_unlimited
from service.http.dependencies import Admin, ServicesDep
from service.http.documents import Document
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken
from service.problems import Problem
from service.reconcile import Finding, FindingKind, Remedy, survey
from stacks.failures import StackError

router = APIRouter(prefix="/v1", tags=["reconciliation"])


class FindingDocument(Document):
    """One thing that AWS and the records disagree on."""

    client: str = Field(description="The area's slug, or the name of a stray user or stack.")
    client_id: str = Field(description="What our tag says; empty where there is none.")
    kind: FindingKind
    detail: str
    subject: str = Field(description="Id of the key, or name of the policy; else empty.")
    remedy: Remedy = Field(description="What `handover reconcile --mend` does about it.")


class ReconciliationPage(BaseModel):
    """A page of findings; none at all means that AWS and the records agree."""

    items: list[FindingDocument]
    next_page_token: str | None


class ReconciliationPaging(BaseModel):
    """Page of the findings."""

    model_config = ConfigDict(extra="forbid")

    page_size: PageSize = 100
    page_token: PageToken = None


@router.get(
    "/reconciliation",
    summary="Compare AWS with the records",
    responses=documented(
        problems.INVALID_PARAMETER,
        problems.INVALID_PAGE_TOKEN,
        problems.INSUFFICIENT_SCOPE,
        problems.AREA_UNAVAILABLE,
    ),
)
async def read_reconciliation(
    paging: Annotated[ReconciliationPaging, Query()],
    request: Request,
    services: ServicesDep,
    caller: Admin,
) -> ReconciliationPage:
    """Look at AWS and list what differs from the records; nothing is changed.

    Clients that an operation works on are left out. Each page looks anew.
    """
    require_unlimited(caller, "Reconciliation tells of every client")
    limiter = request.app.state.looks
    assert isinstance(limiter, CapacityLimiter)
    try:
        found = await run_sync(survey, services, limiter=limiter)
    except StackError as error:
        raise Problem(
            problems.AREA_UNAVAILABLE,
            f"AWS could not be looked at: {error.failure.detail}",
            members={"code": error.failure.code},
            headers={"Retry-After": "5"},
        ) from None
    return _page(services, paging, found)


def _page(
    services: Services, paging: ReconciliationPaging, found: list[Finding]
) -> ReconciliationPage:
    pager = Pager(services.keyring, "reconciliation", {})
    after = pager.after(paging.page_token, 3)
    if after is not None:
        found = [finding for finding in found if _place(finding) > after]
    page, more = found[: paging.page_size], len(found) > paging.page_size
    return ReconciliationPage(
        items=[_document(finding) for finding in page],
        next_page_token=pager.token(_place(page[-1])) if more else None,
    )


def _place(finding: Finding) -> list[str]:
    return [finding.slug, finding.kind.value, finding.detail]


def _document(finding: Finding) -> FindingDocument:
    return FindingDocument(
        client=finding.slug,
        client_id=finding.client_id,
        kind=finding.kind,
        detail=finding.detail,
        subject=finding.subject,
        remedy=finding.remedy,
    )
