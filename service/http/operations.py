"""`/v1/operations`: list, read, wait for and follow operations."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from sqlmodel import and_, col, or_, select
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.clients import Client
from models.database import transaction
from models.names import slug_key
from models.operations import (
    UNFINISHED,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
)
from service import problems
from service.context import Services
from service.http.dependencies import Caller, Reader, ServicesDep
from service.http.documents import OperationDocument, OperationEventDocument, OperationPage
from service.http.negotiation import WaitingDep
from service.http.openapi import Responses, documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import FilterText
from service.http.reading import operation_document, operation_within_reach
from service.http.waiting import POLL_SECONDS, settled

router = APIRouter(prefix="/v1/operations", tags=["operations"])

OperationId = Annotated[str, Path(description="The operation's id.")]
HEARTBEAT_SECONDS = 15
_BATCH = 500
_STREAM: Responses = {
    200: {
        "description": "Server-sent events; the data of each is an `OperationEventDocument`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_READS = documented(problems.NOT_FOUND, problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER)


class OperationFilters(BaseModel):
    """Filters and page of the list of operations."""

    model_config = ConfigDict(extra="forbid")

    client: FilterText | None = None
    state: OperationState | None = None
    kind: OperationKind | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.get(
    "",
    summary="List operations",
    responses=documented(
        problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
    ),
)
def list_operations(
    filters: Annotated[OperationFilters, Query()], services: ServicesDep, caller: Reader
) -> OperationPage:
    """Return a page of the operations on clients within the token's reach, newest first."""
    bound = filters.model_dump(exclude={"page_size", "page_token"}) | {"slugs": caller.token.slugs}
    pager = Pager(services.keyring, "operations", bound)
    query = _listing(filters, caller, pager.after(filters.page_token, 2))
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(filters.page_size + 1)).all()
    page = rows[: filters.page_size]
    last = page[-1][0] if len(rows) > filters.page_size else None
    return OperationPage(
        items=[operation_document(operation, client) for operation, client in page],
        next_page_token=pager.token([last.created_at.isoformat(), last.id]) if last else None,
    )


@router.get(
    "/{operation_id}",
    summary="Read an operation",
    response_model=OperationDocument,
    responses=_READS,
)
async def read_operation(
    operation_id: OperationId, services: ServicesDep, caller: Reader, waiting: WaitingDep
) -> Response:
    """Return the operation as it stands; with `Prefer: wait=N` when it has ended, or N seconds
    later.
    """
    operation = await run_sync(_read, services, caller, operation_id)
    limit = services.settings.wait_limit_seconds
    if waiting.seconds is not None and operation.state in UNFINISHED:
        operation = await settled(services, operation.id, waiting.within(limit))
    retry = {"Retry-After": "1"} if operation.state in UNFINISHED else {}
    return JSONResponse(operation.model_dump(mode="json"), headers=waiting.headers(limit) | retry)


@router.get(
    "/{operation_id}/events",
    summary="Follow an operation",
    response_class=EventSourceResponse,
    responses=_STREAM | _READS,
)
async def follow_operation(
    operation_id: OperationId,
    services: ServicesDep,
    caller: Reader,
    last_event_id: Annotated[
        int, Header(ge=0, lt=2**31, description="Go on after this event, as `EventSource` does.")
    ] = 0,
) -> EventSourceResponse:
    """Return the operation's events as they happen, each with its sequence as id; ends with the
    operation.

    What happened before is told first. `event` is the kind: state, step, resource or log.
    """
    operation = await run_sync(_read, services, caller, operation_id)
    return EventSourceResponse(
        _events(services, operation.id, last_event_id), ping=HEARTBEAT_SECONDS
    )


async def _events(
    services: Services, operation_id: str, after: int
) -> AsyncIterator[ServerSentEvent]:
    async with services.hub.subscribe(operation_id, progress=True) as wakeups:
        ended = False
        while not ended:
            events, ended = await run_sync(_read_events, services, operation_id, after)
            for event in events:
                after = event.sequence
                yield ServerSentEvent(
                    event.model_dump_json(), id=str(event.sequence), event=event.kind.value
                )
            if not events and not ended:
                await wakeups.wait(POLL_SECONDS)


def _read_events(
    services: Services, operation_id: str, after: int
) -> tuple[list[OperationEventDocument], bool]:
    query = select(OperationEvent).where(OperationEvent.operation_id == operation_id)
    query = query.where(OperationEvent.sequence > after).order_by(col(OperationEvent.sequence))
    with transaction(services.database, write=False) as session:
        # The state first: once it is final, the events read after it are all there will be.
        state = session.get_one(Operation, operation_id).state
        rows = session.exec(query.limit(_BATCH)).all()
    events = [OperationEventDocument.model_validate(row) for row in rows]
    return events, state not in UNFINISHED and len(rows) < _BATCH


def _read(services: Services, caller: Caller, operation_id: str) -> OperationDocument:
    with transaction(services.database, write=False) as session:
        return operation_document(*operation_within_reach(session, caller, operation_id))


def _listing(filters: OperationFilters, caller: Caller, after: list[str] | None) -> Any:
    query = select(Operation, Client).join(Client, col(Client.id) == col(Operation.client_id))
    if filters.client is not None:
        query = query.where(Client.slug_key == slug_key(filters.client))
    if filters.state is not None:
        query = query.where(Operation.state == filters.state)
    if filters.kind is not None:
        query = query.where(Operation.kind == filters.kind)
    if caller.token.slugs is not None:
        within = [slug_key(slug) for slug in caller.token.slugs]
        query = query.where(col(Client.slug_key).in_(within))
    created, row_id = col(Operation.created_at), col(Operation.id)
    if after is not None:
        at = datetime.fromisoformat(after[0])
        query = query.where(or_(created < at, and_(created == at, row_id < after[1])))
    return query.order_by(created.desc(), row_id.desc())
