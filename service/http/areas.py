"""`/v1/clients/{slug}/…`: what the engine sees of an area, without changing it: preview and
drift.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, Query, Request

from models.access_keys import AccessKey, AccessKeyStatus
from models.clients import Client, ClientState
from models.database import transaction
from service import problems
from service.areas_inputs import area_inputs
from service.context import Services
from service.http.dependencies import Caller, Reader, ServicesDep
from service.http.documents import (
    DriftDocument,
    DriftItem,
    PlannedChangeDocument,
    PreviewDocument,
)
from service.http.openapi import documented
from service.http.parameters import Slug
from service.http.reading import client_within_reach
from service.intents import keys_of, next_generation, refuse_unfinished
from service.problems import Problem
from stacks.client import AreaInputs
from stacks.failures import StackError

router = APIRouter(prefix="/v1/clients", tags=["areas"])

PARALLEL_LOOKS = 4
"""Previews and refreshes at once: each holds a thread for as long as the engine runs."""

Of = Annotated[Literal["open", "close"], Query(description="Which change to preview.")]
Result = TypeVar("Result")

_LOOKS = documented(
    problems.NOT_FOUND,
    problems.INVALID_PARAMETER,
    problems.INSUFFICIENT_SCOPE,
    problems.OPERATION_IN_PROGRESS,
    problems.AREA_UNAVAILABLE,
)


@router.get("/{slug}/preview", summary="Preview opening or closing", responses=_LOOKS)
async def preview_area(
    slug: Slug, of: Of, request: Request, services: ServicesDep, caller: Reader
) -> PreviewDocument:
    """Return what would be done, resource by resource. Nothing is changed."""

    def look() -> PreviewDocument:
        area = _inputs(services, caller, slug, opening=of == "open")
        areas = services.areas
        planned = areas.preview_open(area) if of == "open" else areas.preview_close(area)
        changes = [PlannedChangeDocument.model_validate(change) for change in planned]
        return PreviewDocument(of=of, changes=changes)

    return await _look(request, slug, look)


@router.post("/{slug}/refresh", summary="Look for drift", responses=_LOOKS)
async def refresh_area(
    slug: Slug, request: Request, services: ServicesDep, caller: Reader
) -> DriftDocument:
    """Compare what AWS holds with what the stack says. Neither is changed."""

    def look() -> DriftDocument:
        found = services.areas.drift(_inputs(services, caller, slug, opening=False))
        drift = [DriftItem.model_validate(item) for item in found]
        return DriftDocument(in_step=not drift, drift=drift)

    return await _look(request, slug, look)


async def _look(request: Request, slug: str, look: Callable[[], Result]) -> Result:
    limiter = request.app.state.looks
    assert isinstance(limiter, CapacityLimiter)
    try:
        return await run_sync(look, limiter=limiter)
    except StackError as error:
        code, detail = error.failure.code, error.failure.detail
    except (BotoCoreError, ClientError) as error:
        code, detail = type(error).__name__, "AWS did not answer."
    raise Problem(
        problems.AREA_UNAVAILABLE,
        f"The area of {slug} could not be looked at: {detail}",
        members={"code": code},
        headers={"Retry-After": "5"},
    )


def _inputs(services: Services, caller: Caller, slug: str, *, opening: bool) -> AreaInputs:
    with transaction(services.database, write=False) as session:
        client = client_within_reach(session, caller, slug)
        refuse_unfinished(session, client)
        keys = keys_of(session, client)
    return area_inputs(
        services.settings,
        services.areas.account(),
        client,
        _with_planned(client, keys) if opening else keys,
    )


def _with_planned(client: Client, keys: list[AccessKey]) -> list[AccessKey]:
    """Return the keys as a reopening would have them: the old ones gone, one of the next
    generation.
    """
    if client.state not in (ClientState.closed, ClientState.failed):
        return keys
    planned = AccessKey(
        client_id=client.id, generation=next_generation(keys), status=AccessKeyStatus.active
    )
    return [planned]
