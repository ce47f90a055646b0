"""`/v1/webhook-events`: what the tools reported, what became of it, and what people add to it."""

import json
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, col, select, tuple_

from models.clients import Client
from models.database import transaction
from models.webhooks import WebhookConnection, WebhookEvent, WebhookEventState
from service import problems
from service.http.dependencies import Admin, ServicesDep
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import FilterText
from service.http.webhook_documents import EventDocument, EventPage, EventSummary
from service.webhooks import attending
from service.webhooks.attending import find_event
from service.webhooks.connections import find_connection
from service.webhooks.requests import CompleteEvent

router = APIRouter(
    prefix="/v1/webhook-events", tags=["webhooks"], dependencies=[Depends(json_only)]
)

_ALWAYS = (problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER, problems.NOT_FOUND)


class EventFilters(BaseModel):
    """Which events, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    state: WebhookEventState | None = None
    connection: FilterText | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.get(
    "",
    summary="List the events",
    responses=documented(*_ALWAYS, problems.INVALID_PAGE_TOKEN),
)
def list_webhook_events(
    filters: Annotated[EventFilters, Query()], services: ServicesDep, _caller: Admin
) -> EventPage:
    """Return a page of what the tools reported, newest first."""
    bound = {"state": filters.state, "connection": filters.connection}
    pager = Pager(services.keyring, "webhook-events", bound)
    after = pager.after(filters.page_token, 2)
    order = (col(WebhookEvent.received_at), col(WebhookEvent.id))
    query = select(WebhookEvent).order_by(*(column.desc() for column in order))
    if filters.state is not None:
        query = query.where(WebhookEvent.state == filters.state)
    if after is not None:
        query = query.where(tuple_(*order) < (datetime.fromisoformat(after[0]), after[1]))
    with transaction(services.database, write=False) as session:
        if filters.connection is not None:
            wanted = find_connection(session, filters.connection)
            query = query.where(WebhookEvent.connection_id == wanted.id)
        rows = session.exec(query.limit(filters.page_size + 1)).all()
        page = rows[: filters.page_size]
        items = [event_summary(session, row) for row in page]
    more = len(rows) > filters.page_size
    last = [page[-1].received_at.isoformat(), page[-1].id] if more else []
    return EventPage(items=items, next_page_token=pager.token(last) if more else None)


@router.get("/{event_id}", summary="Read an event", responses=documented(*_ALWAYS))
def get_webhook_event(event_id: str, services: ServicesDep, _caller: Admin) -> EventDocument:
    """Return an event with what it says and the request that was made of it."""
    with transaction(services.database, write=False) as session:
        return event_document(session, find_event(session, event_id))


@router.post(
    "/{event_id}/complete",
    status_code=202,
    summary="Complete an event",
    responses=documented(
        *_ALWAYS,
        problems.INVALID_REQUEST,
        problems.MALFORMED_BODY,
        problems.BODY_TOO_LARGE,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.EVENT_SETTLED,
    ),
)
def complete_webhook_event(
    event_id: str, body: CompleteEvent, services: ServicesDep, caller: Admin
) -> EventDocument:
    """Add the fields that an event lacks; it is looked at again at once. Who did is audited."""
    with transaction(services.database) as session:
        event = find_event(session, event_id, for_update=True)
        attending.complete(session, caller.requester, event, body.fields)
        document = event_document(session, event)
    services.arrivals.set()
    return document


@router.post(
    "/{event_id}/replay",
    status_code=202,
    summary="Look at an event again",
    responses=documented(*_ALWAYS, problems.EVENT_SETTLED),
)
def replay_webhook_event(event_id: str, services: ServicesDep, caller: Admin) -> EventDocument:
    """Have an event looked at again that was ignored or needs attention."""
    with transaction(services.database) as session:
        event = find_event(session, event_id, for_update=True)
        attending.replay(session, caller.requester, event)
        document = event_document(session, event)
    services.arrivals.set()
    return document


def event_summary(session: Session, event: WebhookEvent) -> EventSummary:
    """Return the document of an event as lists have it."""
    connection = session.get_one(WebhookConnection, event.connection_id)
    return EventSummary(
        id=event.id,
        connection=connection.name,
        state=event.state,
        reason=event.reason,
        missing=event.missing,
        attempts=event.attempts,
        received_at=event.received_at,
        finished_at=event.finished_at,
        links=_links(session, event),
    )


def event_document(session: Session, event: WebhookEvent) -> EventDocument:
    """Return the whole document of an event."""
    return EventDocument(
        **event_summary(session, event).model_dump(),
        body=json.loads(event.body) if event.body else None,
        fields=json.loads(event.mapped) if event.mapped else None,
        completion=json.loads(event.completion) if event.completion else None,
    )


def _links(session: Session, event: WebhookEvent) -> dict[str, str]:
    links = {"self": f"/v1/webhook-events/{event.id}"}
    if event.operation_id is not None:
        links["operation"] = f"/v1/operations/{event.operation_id}"
    if event.client_id is not None:
        links["client"] = f"/v1/clients/{session.get_one(Client, event.client_id).slug}"
    return links
