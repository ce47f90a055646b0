"""`/v1/webhook-deliveries`: what is on its way, what arrived, and the dead-letter list."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, and_, col, or_, select

from models.database import transaction
from models.outgoing import DeliveryState, FeedEvent, WebhookDelivery
from service import problems
from service.http.dependencies import ServicesDep
from service.http.events import event_document
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.outgoing_documents import DeliveryDocument, DeliveryPage
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import FilterText
from service.http.webhook_endpoints import EveryonesAdmin
from service.outgoing.endpoints import DeliveryNotDead, UnknownDelivery, replay
from service.problems import Problem

router = APIRouter(
    prefix="/v1/webhook-deliveries", tags=["events"], dependencies=[Depends(json_only)]
)


class DeliveryFilters(BaseModel):
    """Filters and page of the list of deliveries."""

    model_config = ConfigDict(extra="forbid")

    state: DeliveryState | None = None
    endpoint_id: FilterText | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.get(
    "",
    summary="List webhook deliveries",
    responses=documented(
        problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN
    ),
)
def list_webhook_deliveries(
    filters: Annotated[DeliveryFilters, Query()], services: ServicesDep, _caller: EveryonesAdmin
) -> DeliveryPage:
    """Return a page of deliveries, newest first; `state=dead` is the dead-letter list."""
    bound = filters.model_dump(exclude={"page_size", "page_token"})
    pager = Pager(services.keyring, "webhook-deliveries", bound)
    after = pager.after(filters.page_token, 1)
    with transaction(services.database, write=False) as session:
        query = _listing(session, filters, after)
        rows = session.exec(query.limit(filters.page_size + 1)).all()
    page = rows[: filters.page_size]
    more = len(rows) > filters.page_size
    return DeliveryPage(
        items=[delivery_document(delivery, event) for delivery, event in page],
        next_page_token=pager.token([page[-1][0].id]) if more else None,
    )


@router.post(
    "/{delivery_id}/replay",
    status_code=202,
    summary="Replay a dead delivery",
    responses=documented(
        problems.NOT_FOUND,
        problems.INSUFFICIENT_SCOPE,
        problems.INVALID_PARAMETER,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.DELIVERY_NOT_DEAD,
    ),
)
def replay_webhook_delivery(
    delivery_id: Annotated[str, Path(max_length=64, description="The delivery's id.")],
    services: ServicesDep,
    caller: EveryonesAdmin,
) -> DeliveryDocument:
    """Send it anew with all its attempts, once the receiver is mended."""
    try:
        with transaction(services.database) as session:
            delivery = replay(session, caller.requester, delivery_id)
            event = session.get_one(FeedEvent, delivery.event_sequence)
    except UnknownDelivery as error:
        raise Problem(problems.NOT_FOUND, str(error)) from None
    except DeliveryNotDead as error:
        raise Problem(problems.DELIVERY_NOT_DEAD, str(error)) from None
    return delivery_document(delivery, event)


def delivery_document(delivery: WebhookDelivery, event: FeedEvent) -> DeliveryDocument:
    """Return the document of a delivery."""
    pending = delivery.state is DeliveryState.pending
    links = {"endpoint": f"/v1/webhook-endpoints/{delivery.endpoint_id}"}
    if delivery.state is DeliveryState.dead:
        links["replay"] = f"/v1/webhook-deliveries/{delivery.id}/replay"
    return DeliveryDocument(
        id=delivery.id,
        state=delivery.state,
        endpoint_id=delivery.endpoint_id,
        event=event_document(event),
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at if pending else None,
        last_status=delivery.last_status,
        last_reason=delivery.last_reason,
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
        links=links,
    )


def _listing(session: Session, filters: DeliveryFilters, after: list[str] | None) -> Any:
    is_its_event = col(FeedEvent.sequence) == col(WebhookDelivery.event_sequence)
    query = select(WebhookDelivery, FeedEvent).join(FeedEvent, is_its_event)
    if filters.state is not None:
        query = query.where(WebhookDelivery.state == filters.state)
    if filters.endpoint_id is not None:
        query = query.where(WebhookDelivery.endpoint_id == filters.endpoint_id)
    created, row_id = col(WebhookDelivery.created_at), col(WebhookDelivery.id)
    if after is not None:
        # The row itself, which is never deleted, knows its time to the last digit.
        at = session.get_one(WebhookDelivery, after[0]).created_at
        query = query.where(or_(created < at, and_(created == at, row_id < after[0])))
    return query.order_by(created.desc(), row_id.desc())
