"""`/v1/webhook-endpoints`: who is told of events, tests, and secrets."""

from datetime import timedelta
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlmodel import and_, col, or_, select

from models.base import new_id, utc_now
from models.database import transaction
from models.outgoing import WebhookEndpoint
from service import problems
from service.context import Services
from service.http.dependencies import Admin, Caller, ServicesDep
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.outgoing_documents import (
    CreateEndpoint,
    EndpointDocument,
    EndpointPage,
    EndpointSecretDocument,
    ProbeDocument,
    RotateSecret,
)
from service.http.paging import Pager, PageSize, PageToken
from service.outgoing.destinations import (
    DestinationRefused,
    Destinations,
    NameNotResolved,
    normalised,
)
from service.outgoing.endpoints import (
    SecretShown,
    UnknownEndpoint,
    create_endpoint,
    delete_endpoint,
    endpoint_of,
    rotate_secret,
)
from service.outgoing.sending import Sender, probe_message
from service.problems import FieldError, Problem, describe

router = APIRouter(
    prefix="/v1/webhook-endpoints", tags=["events"], dependencies=[Depends(json_only)]
)

EndpointId = Annotated[str, Path(max_length=64, description="The endpoint's id.")]
_TAKES_BODY = (
    problems.MALFORMED_BODY,
    problems.BODY_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID_REQUEST,
)
_ONE = (problems.NOT_FOUND, problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER)


class EndpointPaging(BaseModel):
    """Page of the list of endpoints."""

    model_config = ConfigDict(extra="forbid")

    page_size: PageSize = 50
    page_token: PageToken = None


def everyones_admin(caller: Admin) -> Caller:
    """Return an administrator whose token reaches every client, as the events here do."""
    if caller.token.slugs is not None:
        raise Problem(
            problems.INSUFFICIENT_SCOPE,
            "Endpoints are told of every client, and the token is limited to some.",
            members={"scope": "admin"},
        )
    return caller


EveryonesAdmin = Annotated[Caller, Depends(everyones_admin)]


@router.post(
    "",
    status_code=201,
    summary="Add a webhook endpoint",
    responses=documented(problems.INSUFFICIENT_SCOPE, *_TAKES_BODY),
)
def add_webhook_endpoint(
    body: CreateEndpoint, services: ServicesDep, caller: EveryonesAdmin, response: Response
) -> EndpointSecretDocument:
    """Tell this address of events from now on. The secret in the answer is shown this once."""
    url = _acceptable(services, body.url)
    with transaction(services.database) as session:
        made = create_endpoint(
            session,
            services.keyring,
            caller.requester,
            url=url,
            description=body.description,
            event_types=body.event_types,
        )
    response.headers["Location"] = f"/v1/webhook-endpoints/{made.endpoint.id}"
    return _with_secret(made)


@router.get(
    "",
    summary="List webhook endpoints",
    responses=documented(
        problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN
    ),
)
def list_webhook_endpoints(
    paging: Annotated[EndpointPaging, Query()], services: ServicesDep, _caller: EveryonesAdmin
) -> EndpointPage:
    """Return a page of the endpoints, oldest first, without their secrets."""
    pager = Pager(services.keyring, "webhook-endpoints", {})
    after = pager.after(paging.page_token, 1)
    query = select(WebhookEndpoint).where(col(WebhookEndpoint.deleted_at).is_(None))
    created, row_id = col(WebhookEndpoint.created_at), col(WebhookEndpoint.id)
    with transaction(services.database, write=False) as session:
        if after is not None:
            # The row itself, which is never deleted, knows its time to the last digit.
            at = session.get_one(WebhookEndpoint, after[0]).created_at
            query = query.where(or_(created > at, and_(created == at, row_id > after[0])))
        query = query.order_by(created, row_id)
        rows = session.exec(query.limit(paging.page_size + 1)).all()
    page = rows[: paging.page_size]
    more = len(rows) > paging.page_size
    return EndpointPage(
        items=[endpoint_document(endpoint) for endpoint in page],
        next_page_token=pager.token([page[-1].id]) if more else None,
    )


@router.get("/{endpoint_id}", summary="Read a webhook endpoint", responses=documented(*_ONE))
def read_webhook_endpoint(
    endpoint_id: EndpointId, services: ServicesDep, _caller: EveryonesAdmin
) -> EndpointDocument:
    """Return the endpoint without its secret."""
    return endpoint_document(_found(services, endpoint_id))


@router.delete(
    "/{endpoint_id}",
    status_code=204,
    summary="Delete a webhook endpoint",
    responses=documented(*_ONE),
)
def delete_webhook_endpoint(
    endpoint_id: EndpointId, services: ServicesDep, caller: EveryonesAdmin
) -> None:
    """Tell the address of nothing more; what was on its way to it is cancelled."""
    try:
        with transaction(services.database) as session:
            delete_endpoint(session, caller.requester, endpoint_id)
    except UnknownEndpoint as error:
        raise Problem(problems.NOT_FOUND, str(error)) from None


@router.post(
    "/{endpoint_id}/rotate-secret",
    summary="Give a webhook endpoint a new secret",
    responses=documented(*_ONE, *_TAKES_BODY),
)
def rotate_webhook_secret(
    endpoint_id: EndpointId,
    services: ServicesDep,
    caller: EveryonesAdmin,
    body: RotateSecret | None = None,
) -> EndpointSecretDocument:
    """Show a new secret once; both sign until the overlap (24 hours unless given) has passed."""
    overlap = timedelta(hours=(body or RotateSecret()).overlap_hours)
    try:
        with transaction(services.database) as session:
            return _with_secret(
                rotate_secret(
                    session, services.keyring, caller.requester, endpoint_id, overlap=overlap
                )
            )
    except UnknownEndpoint as error:
        raise Problem(problems.NOT_FOUND, str(error)) from None


@router.post(
    "/{endpoint_id}/test",
    summary="Send a test message",
    responses=documented(*_ONE, problems.UNSUPPORTED_MEDIA_TYPE),
)
async def send_test_message(
    endpoint_id: EndpointId, request: Request, services: ServicesDep, _caller: EveryonesAdmin
) -> ProbeDocument:
    """Send a signed `webhook.test` to the endpoint now, and tell how that went.

    It is sent once, from the process that answers, and is no event of the feed.
    """
    limiter = request.app.state.looks
    assert isinstance(limiter, CapacityLimiter)
    return await run_sync(_probe, services, endpoint_id, limiter=limiter)


def endpoint_document(endpoint: WebhookEndpoint) -> EndpointDocument:
    """Return the document of an endpoint."""
    return EndpointDocument.model_validate(_content(endpoint))


def _with_secret(shown: SecretShown) -> EndpointSecretDocument:
    return EndpointSecretDocument.model_validate(_content(shown.endpoint) | {"secret": shown.plain})


def _content(endpoint: WebhookEndpoint) -> dict[str, object]:
    address = f"/v1/webhook-endpoints/{endpoint.id}"
    fields = ("id", "url", "description", "event_types", "previous_secret_until", "created_at")
    return {name: getattr(endpoint, name) for name in fields} | {
        "links": {
            "self": address,
            "test": f"{address}/test",
            "deliveries": f"/v1/webhook-deliveries?endpoint_id={endpoint.id}",
        }
    }


def _acceptable(services: Services, url: str) -> str:
    """Return the URL as it is kept; raise the 422 that says why nothing may be sent there."""
    destinations = Destinations.of(services.settings)
    try:
        destinations.addresses(destinations.target(url))
        return normalised(url)
    except (DestinationRefused, NameNotResolved) as error:
        fields = (FieldError("url", str(error)),)
        raise Problem(problems.INVALID_REQUEST, describe(fields), errors=fields) from None


def _found(services: Services, endpoint_id: str) -> WebhookEndpoint:
    try:
        with transaction(services.database, write=False) as session:
            return endpoint_of(session, endpoint_id)
    except UnknownEndpoint as error:
        raise Problem(problems.NOT_FOUND, str(error)) from None


def _probe(services: Services, endpoint_id: str) -> ProbeDocument:
    endpoint = _found(services, endpoint_id)
    now = utc_now()
    message = probe_message(new_id(), now)
    secrets = endpoint.open_secrets(services.keyring, now)
    sender = Sender(Destinations.of(services.settings))
    outcome = sender.send(endpoint.url, message, secrets, now)
    return ProbeDocument(
        delivered=outcome.delivered,
        status=outcome.status,
        reason=outcome.reason,
        message_id=message.id,
    )
