"""`/v1/clients/{slug}/…`: what the engine sees of an area, without changing it: preview and
drift.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from models.access_keys import AccessKey, AccessKeyStatus
from models.actors import Scope
from models.clients import Client, ClientState
from models.database import transaction
from models.names import slug_key
from models.operations import Operation
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
from service.http.negotiation import IdempotencyKeyDep, IfMatch, WaitingDep
from service.http.openapi import Responses, documented
from service.http.parameters import OptionalReason, Slug
from service.http.preconditions import client_for_change
from service.http.reading import client_within_reach
from service.http.rotation import STARTED, STARTS
from service.http.starting import Once, start
from service.http.waiting import answer
from service.intents import keys_of, next_generation, refuse_unfinished
from service.problems import Problem
from service.rotation.wishes import begin_repair
from stacks.client import AreaInputs
from stacks.failures import StackError

router = APIRouter(prefix="/v1/clients", tags=["areas"])

PARALLEL_LOOKS = 4
"""Previews and refreshes at once: each holds a thread for as long as the engine runs."""

Of = Annotated[Literal["open", "close"], Query(description="Which change to preview.")]
Repair = Annotated[bool, Query(description="Put right what differs, by an operation.")]
Result = TypeVar("Result")

_LOOK_PROBLEMS = (
    problems.NOT_FOUND,
    problems.INVALID_PARAMETER,
    problems.INSUFFICIENT_SCOPE,
    problems.OPERATION_IN_PROGRESS,
    problems.AREA_UNAVAILABLE,
)
_LOOKS = documented(*_LOOK_PROBLEMS)
_REPAIRS: Responses = {202: {**STARTED[202], "description": "With `repair=true`: the operation."}}


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


@router.post(
    "/{slug}/refresh",
    summary="Look for drift, or repair it",
    response_model=DriftDocument,
    responses=_REPAIRS
    | documented(*_LOOK_PROBLEMS, *(kind for kind in STARTS if kind not in _LOOK_PROBLEMS)),
)
async def refresh_area(
    slug: Slug,
    request: Request,
    services: ServicesDep,
    caller: Reader,
    key: IdempotencyKeyDep,
    waiting: WaitingDep,
    repair: Repair = False,
    reason: OptionalReason = None,
    if_match: IfMatch = None,
) -> Response:
    """Compare what AWS holds with what the stack says. Neither is changed.

    With `repair=true` (needs `clients:write`) AWS is made again what the records say: 202 and the
    operation. A key that is gone gets a successor with the next record.
    """
    if repair:
        caller.require(Scope.clients_write)
        once = Once.of(
            caller.actor.id,
            key,
            "POST",
            f"/v1/clients/{slug_key(slug)}/refresh",
            ["repair", reason],
        )

        def begin(session: Session) -> Operation:
            client = client_for_change(session, caller, slug, if_match)
            return begin_repair(session, client, caller.requester, reason=reason)

        started = await run_sync(start, services, once, begin)
        return await answer(
            services, started.operation, waiting, done_status=200, replayed=started.replayed
        )

    def look() -> DriftDocument:
        found = services.areas.drift(_inputs(services, caller, slug, opening=False))
        drift = [DriftItem.model_validate(item) for item in found]
        return DriftDocument(in_step=not drift, drift=drift)

    drift = await _look(request, slug, look)
    return JSONResponse(drift.model_dump(mode="json"))


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
