"""`/v1/clients`: list and read clients."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlmodel import col, or_, select

from models.access_keys import AccessKey
from models.clients import Client, ClientState, Contract
from models.database import transaction
from models.names import fold, reference_key, slug_key
from service import problems
from service.http.dependencies import Caller, Reader, ServicesDep
from service.http.documents import ClientDocument, ClientPage
from service.http.negotiation import matches
from service.http.openapi import Responses, documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import FilterText, Slug
from service.http.reading import client_document, client_summary, client_within_reach
from service.http.waiting import client_response

router = APIRouter(prefix="/v1/clients", tags=["clients"])

_NOT_MODIFIED: Responses = {304: {"description": "The client still has this `ETag`."}}


class ClientFilters(BaseModel):
    """Filters and page of the list of clients."""

    model_config = ConfigDict(extra="forbid")

    state: ClientState | None = None
    name: FilterText | None = None
    key_id: FilterText | None = None
    contract_reference: FilterText | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.get(
    "",
    summary="List clients",
    responses=documented(
        problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
    ),
)
def list_clients(
    filters: Annotated[ClientFilters, Query()], services: ServicesDep, caller: Reader
) -> ClientPage:
    """Return a page of the clients within the token's reach, ordered by slug."""
    bound = filters.model_dump(exclude={"page_size", "page_token"}) | {"slugs": caller.token.slugs}
    pager = Pager(services.keyring, "clients", bound)
    query = _listing(filters, caller, pager.after(filters.page_token, 1))
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(filters.page_size + 1)).all()
    page = rows[: filters.page_size]
    more = len(rows) > filters.page_size
    return ClientPage(
        items=[client_summary(client, contract) for client, contract in page],
        next_page_token=pager.token([page[-1][0].slug_key]) if more else None,
    )


@router.get(
    "/{slug}",
    summary="Read a client",
    response_model=ClientDocument,
    responses=_NOT_MODIFIED
    | documented(problems.NOT_FOUND, problems.INVALID_PARAMETER, problems.INSUFFICIENT_SCOPE),
)
def read_client(
    slug: Slug,
    services: ServicesDep,
    caller: Reader,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return all that is known of a client, never a secret. A closed client still answers."""
    with transaction(services.database, write=False) as session:
        client = client_document(session, client_within_reach(session, caller, slug))
    if matches(if_none_match, client.etag):
        return Response(status_code=304, headers={"ETag": client.etag})
    return client_response(client, 200, {})


def _listing(filters: ClientFilters, caller: Caller, after: list[str] | None) -> Any:
    is_current = (col(Contract.client_id) == col(Client.id)) & col(Contract.current)
    query = select(Client, Contract).join(Contract, is_current, isouter=True)
    if filters.state is not None:
        query = query.where(Client.state == filters.state)
    if filters.name is not None:
        part = fold(filters.name)
        in_name = col(Client.entity_key).contains(part, autoescape=True)
        query = query.where(or_(in_name, col(Client.slug_key).contains(part, autoescape=True)))
    if filters.key_id is not None:
        holders = select(AccessKey.client_id).where(AccessKey.access_key_id == filters.key_id)
        query = query.where(col(Client.id).in_(holders))
    if filters.contract_reference is not None:
        wanted = reference_key(filters.contract_reference)
        parties = select(Contract.client_id).where(Contract.reference_key == wanted)
        query = query.where(col(Client.id).in_(parties))
    if caller.token.slugs is not None:
        within = [slug_key(slug) for slug in caller.token.slugs]
        query = query.where(col(Client.slug_key).in_(within))
    if after is not None:
        query = query.where(col(Client.slug_key) > after[0])
    return query.order_by(col(Client.slug_key))
