"""`GET /v1/keys`: the access keys there are, to see which are old."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from sqlmodel import and_, col, or_, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.names import slug_key
from service import problems
from service.areas_inputs import wished_active
from service.http.dependencies import Caller, Reader, ServicesDep
from service.http.documents import KeyPage, KeyReport
from service.http.openapi import documented
from service.http.paging import Pager, PageSize, PageToken
from service.http.parameters import FilterText

router = APIRouter(prefix="/v1", tags=["access"])


class KeyFilters(BaseModel):
    """Filters and page of the list of keys."""

    model_config = ConfigDict(extra="forbid")

    older_than_days: int | None = Query(
        default=None, ge=0, le=36500, description="Only keys made longer ago (RX-25: 180)."
    )
    client: FilterText | None = None
    page_size: PageSize = 50
    page_token: PageToken = None


@router.get(
    "/keys",
    summary="List keys",
    responses=documented(
        problems.INVALID_PARAMETER, problems.INVALID_PAGE_TOKEN, problems.INSUFFICIENT_SCOPE
    ),
)
def list_keys(
    filters: Annotated[KeyFilters, Query()], services: ServicesDep, caller: Reader
) -> KeyPage:
    """Return a page of the keys that are not deleted, by slug and generation; never a secret."""
    bound = filters.model_dump(exclude={"page_size", "page_token"}) | {"slugs": caller.token.slugs}
    pager = Pager(services.keyring, "keys", bound)
    query = _listing(filters, caller, pager.after(filters.page_token, 2))
    with transaction(services.database, write=False) as session:
        rows = session.exec(query.limit(filters.page_size + 1)).all()
    page = rows[: filters.page_size]
    last = page[-1] if len(rows) > filters.page_size else None
    return KeyPage(
        items=[_report(key, client) for key, client in page],
        next_page_token=pager.token([last[1].slug_key, str(last[0].generation)]) if last else None,
    )


def _listing(filters: KeyFilters, caller: Caller, after: list[str] | None) -> Any:
    query = select(AccessKey, Client).join(Client, col(Client.id) == col(AccessKey.client_id))
    query = query.where(AccessKey.status != AccessKeyStatus.deleted)
    query = query.where(col(AccessKey.access_key_id).is_not(None))
    if filters.older_than_days is not None:
        limit = utc_now() - timedelta(days=filters.older_than_days)
        query = query.where(col(AccessKey.created_at) < limit)
    if filters.client is not None:
        query = query.where(Client.slug_key == slug_key(filters.client))
    if caller.token.slugs is not None:
        within = [slug_key(slug) for slug in caller.token.slugs]
        query = query.where(col(Client.slug_key).in_(within))
    slug, generation = col(Client.slug_key), col(AccessKey.generation)
    if after is not None:
        later = and_(slug == after[0], generation > int(after[1]))
        query = query.where(or_(slug > after[0], later))
    return query.order_by(slug, generation)


def _report(key: AccessKey, client: Client) -> KeyReport:
    return KeyReport(
        client=client.slug,
        key_id=key.access_key_id or "",
        generation=key.generation,
        status=key.status,
        works=wished_active(client, key),
        created_at=key.created_at,
        age_days=(utc_now() - key.created_at).days,
        turn_off_at=key.turn_off_at,
        delete_at=key.delete_at,
        links={"client": f"/v1/clients/{client.slug}"},
    )
