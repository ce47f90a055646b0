"""`/v1/webhook-connections`: the tools that may report signed contracts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from models.database import transaction
from models.webhooks import WebhookConnection
from service import problems
from service.context import Services
from service.http.dependencies import Admin, ServicesDep
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.webhook_documents import (
    ConnectionDocument,
    ConnectionPage,
    FindingDocument,
    NewSecretDocument,
    TrialDocument,
    TrialList,
)
from service.problems import Problem
from service.webhooks import connections
from service.webhooks.catalogue import KINDS
from service.webhooks.connections import Shown, find_connection
from service.webhooks.fetching import Fetched
from service.webhooks.processing import EventProcessor
from service.webhooks.receiving import delivery_address
from service.webhooks.requests import (
    CreateConnection,
    RotateSecret,
    TryEvent,
    UpdateConnection,
)
from service.webhooks.settling import Outcome

router = APIRouter(
    prefix="/v1/webhook-connections", tags=["webhooks"], dependencies=[Depends(json_only)]
)

_ALWAYS = (problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER)
_BODY = (
    *_ALWAYS,
    problems.INVALID_REQUEST,
    problems.MALFORMED_BODY,
    problems.BODY_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
)


class ConnectionPaging(BaseModel):
    """Page of the connections."""

    model_config = ConfigDict(extra="forbid")

    page_size: PageSize = 50
    page_token: PageToken = None


@router.post(
    "",
    status_code=201,
    summary="Connect a tool",
    responses=documented(*_BODY, problems.CONNECTION_EXISTS),
)
def create_connection(
    body: CreateConnection, services: ServicesDep, caller: Admin
) -> NewSecretDocument:
    """Make a connection. A secret that is made here is in this answer and never shown again."""
    with transaction(services.database) as session:
        shown = connections.create_connection(
            session, services.keyring, services.settings, caller.actor, caller.requester, body
        )
    return _shown(services, shown)


@router.get(
    "",
    summary="List the connections",
    responses=documented(*_ALWAYS, problems.INVALID_PAGE_TOKEN),
)
def list_connections(
    paging: Annotated[ConnectionPaging, Query()], services: ServicesDep, _caller: Admin
) -> ConnectionPage:
    """Return a page of all connections by name, those that are switched off too."""
    pager = Pager(services.keyring, "webhook-connections", {})
    after = pager.after(paging.page_token, 1)
    query = select(WebhookConnection).order_by(col(WebhookConnection.name))
    if after is not None:
        query = query.where(col(WebhookConnection.name) > after[0])
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(paging.page_size + 1)).all()
    page = rows[: paging.page_size]
    more = len(rows) > paging.page_size
    return ConnectionPage(
        items=[connection_document(services, row) for row in page],
        next_page_token=pager.token([page[-1].name]) if more else None,
    )


@router.get(
    "/{connection}",
    summary="Read a connection",
    responses=documented(*_ALWAYS, problems.NOT_FOUND),
)
def get_connection(connection: str, services: ServicesDep, _caller: Admin) -> ConnectionDocument:
    """Return a connection by its name or id, with the mapping that it uses by default."""
    with transaction(services.database, write=False) as session:
        return connection_document(services, find_connection(session, connection))


@router.patch(
    "/{connection}",
    summary="Change a connection",
    responses=documented(*_BODY, problems.NOT_FOUND),
)
def update_connection(
    connection: str, body: UpdateConnection, services: ServicesDep, caller: Admin
) -> ConnectionDocument:
    """Change mapping, credential and the like, or switch the connection off and on."""
    with transaction(services.database) as session:
        found = find_connection(session, connection, for_update=True)
        connections.update_connection(session, services.keyring, caller.requester, found, body)
    return connection_document(services, found)


@router.post(
    "/{connection}/rotate",
    summary="Give a connection a new secret",
    responses=documented(*_BODY, problems.NOT_FOUND),
)
def rotate_connection(
    connection: str, services: ServicesDep, caller: Admin, body: RotateSecret = RotateSecret()
) -> NewSecretDocument:
    """Change the secret; the one before stays valid for the overlap, so that nothing is lost."""
    with transaction(services.database) as session:
        found = find_connection(session, connection, for_update=True)
        shown = connections.rotate_secret(session, services.keyring, caller.requester, found, body)
    return _shown(services, shown)


@router.post(
    "/{connection}/test",
    summary="Try an event out",
    responses=documented(*_BODY, problems.NOT_FOUND),
)
def try_event(connection: str, body: TryEvent, services: ServicesDep, _caller: Admin) -> TrialList:
    """Say what a body of the tool would do, event by event. Nothing is written.

    The tool's API is asked as it would be, unless `fetched` says what it would answer.
    """
    with transaction(services.database, write=False) as session:
        found = find_connection(session, connection)
    batch = isinstance(body.body, list)
    if batch and not KINDS[found.kind].batch:
        raise Problem(problems.INVALID_REQUEST, "This tool sends one event, not a list.")
    events = body.body if isinstance(body.body, list) else [body.body]
    fetched = Fetched(body.fetched) if body.fetched is not None else None
    processor = EventProcessor(services)
    outcomes = [
        processor.try_out(found, event if isinstance(event, dict) else {}, fetched)
        for event in events
    ]
    return TrialList(items=[_trial(outcome) for outcome in outcomes])


def connection_document(services: Services, row: WebhookConnection) -> ConnectionDocument:
    """Return the document of a connection, without its secrets."""
    kind = KINDS[row.kind]
    return ConnectionDocument(
        id=row.id,
        name=row.name,
        kind=row.kind,
        title=kind.title,
        carries=kind.carries,
        fetches=kind.fetches,
        address=delivery_address(services.settings.base_url, row.id),
        path=f"/v1/webhooks/{row.id}",
        actor=row.actor_id,
        username=row.username,
        signed_value=row.signed_value or kind.signed_value,
        mapping=row.mapping,
        default_mapping=dict(kind.mapping),
        api_url=row.api_url,
        has_credential=row.credential is not None,
        active=row.active,
        previous_secret_until=row.previous_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _shown(services: Services, shown: Shown) -> NewSecretDocument:
    return NewSecretDocument(
        connection=connection_document(services, shown.connection), secret=shown.secret
    )


def _trial(outcome: Outcome) -> TrialDocument:
    return TrialDocument(
        outcome=outcome.state,
        reason=outcome.sentence,
        fields=dict(outcome.fields) if outcome.fields is not None else None,
        findings=[FindingDocument(field=e.field, reason=e.reason) for e in outcome.errors],
    )
