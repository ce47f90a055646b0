"""`/v1/events`: the feed of events, to catch up after a receiver was away."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from models.clients import Client
from models.database import transaction
from models.names import slug_key
from models.outgoing import EventType, FeedEvent
from service import problems
from service.http.dependencies import Caller, Reader, ServicesDep
from service.http.openapi import documented
from service.http.outgoing_documents import EventDocument, EventPage
from service.http.paging import Pager, PageSize, PageToken
from service.outgoing.sending import event_content

router = APIRouter(prefix="/v1/events", tags=["events"])


class EventFilters(BaseModel):
    """Where to begin in the feed, and its page."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        int, Query(ge=0, lt=2**53, description="Only events after this `sequence`.")
    ] = 0
    type: EventType | None = None
    page_size: PageSize = 100
    page_token: PageToken = None


@router.get(
    "",
    summary="Catch up on events",
    responses=documented(
        problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
    ),
)
def list_events(
    filters: Annotated[EventFilters, Query()], services: ServicesDep, caller: Reader
) -> EventPage:
    """Return a page of the events on clients within the token's reach, oldest first.

    No event ever appears before one that was returned already: to miss nothing, remember the
    highest `sequence` and give it as `after`.
    """
    bound = filters.model_dump(exclude={"page_size", "page_token"}) | {"slugs": caller.token.slugs}
    pager = Pager(services.keyring, "events", bound)
    query = _listing(filters, caller, pager.after(filters.page_token, 1))
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(filters.page_size + 1)).all()
    page = rows[: filters.page_size]
    more = len(rows) > filters.page_size
    return EventPage(
        items=[event_document(event) for event in page],
        next_page_token=pager.token([str(page[-1].sequence)]) if more else None,
    )


def event_document(event: FeedEvent) -> EventDocument:
    """Return the document of an event."""
    return EventDocument.model_validate(event_content(event))


def _listing(filters: EventFilters, caller: Caller, after: list[str] | None) -> Any:
    begin = max(filters.after, int(after[0]) if after else 0)
    query = select(FeedEvent).where(FeedEvent.sequence > begin)
    if filters.type is not None:
        query = query.where(FeedEvent.type == filters.type)
    if caller.token.slugs is not None:
        within = [slug_key(slug) for slug in caller.token.slugs]
        reached = select(Client.id).where(col(Client.slug_key).in_(within))
        query = query.where(col(FeedEvent.client_id).in_(reached))
    return query.order_by(col(FeedEvent.sequence))
