"""`POST /v1/clients/{slug}/rotate`: a second key, then an end to the first."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlmodel import Session

from models.clients import find_client
from models.database import transaction
from models.names import slug_key
from models.operations import Operation
from service import problems
from service.context import Services
from service.http.dependencies import ServicesDep, Writer
from service.http.documents import ClientDocument, OperationDocument
from service.http.negotiation import IdempotencyKeyDep, IfMatch, WaitingDep
from service.http.openapi import FOLLOW_HEADERS, Responses, documented
from service.http.parameters import OptionalReason, Slug
from service.http.preconditions import client_for_change
from service.http.starting import Once, start
from service.http.threads import Urgent, threads_of
from service.http.waiting import answer
from service.problems import Problem
from service.rotation.wishes import begin_rotate
from service.suspension.switching import cut_retired
from stacks.failures import StackError

router = APIRouter(prefix="/v1/clients", tags=["access"], route_class=Urgent)

STARTED: Responses = {
    200: {"model": ClientDocument, "description": "Done in time: the client."},
    202: {
        "model": OperationDocument,
        "description": "The operation that was started, or is not finished yet.",
        "headers": FOLLOW_HEADERS,
    },
}
STARTS = (
    problems.NOT_FOUND,
    problems.INVALID_PARAMETER,
    problems.INSUFFICIENT_SCOPE,
    problems.OPERATION_IN_PROGRESS,
    problems.OPERATION_FAILED,
    problems.IDEMPOTENCY_KEY_REUSED,
    problems.PRECONDITION_FAILED,
    problems.CLIENT_CLOSED,
    problems.CLIENT_NOT_OPEN,
)


class Rotation(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(extra="forbid")

    overlap_days: int | None = Query(
        default=None, ge=0, le=90, description="How long both keys work; 7 days unless set."
    )
    now: bool = Query(
        default=False, description="For a leaked key: the old keys are cut before the answer."
    )
    reason: OptionalReason = None


@router.post(
    "/{slug}/rotate",
    status_code=202,
    summary="Rotate a client's key",
    response_model=OperationDocument,
    responses=STARTED
    | documented(
        *STARTS,
        problems.CLIENT_SUSPENDED,
        problems.ROTATION_IN_OVERLAP,
        problems.ACCESS_UNCONFIRMED,
        problems.STORAGE_LOW,
        problems.SEALING_KEYS_LOST,
    ),
)
async def rotate_key(
    slug: Slug,
    how: Annotated[Rotation, Query()],
    request: Request,
    services: ServicesDep,
    caller: Writer,
    key: IdempotencyKeyDep,
    waiting: WaitingDep,
    if_match: IfMatch = None,
) -> Response:
    """Make a second key, prove it, and give it the next record; the old key works on for a while.

    When the overlap ends the old key is turned off, and a day later it is deleted. With `now=true`
    it is cut at once, for good, and goes a day later; on a machine that can make no key now, it is
    cut all the same, and the new key waits. A rotation that fails leaves the old key as
    it is and takes the new one away.
    """
    address = f"/v1/clients/{slug_key(slug)}/rotate"
    once = Once.of(caller.actor.id, key, "POST", address, how.model_dump(mode="json"))
    days = how.overlap_days
    overlap = services.settings.rotation_overlap_days if days is None else days

    def begin(session: Session) -> Operation:
        client = client_for_change(session, caller, slug, if_match)
        return begin_rotate(
            session,
            services.settings,
            client,
            caller.requester,
            overlap_days=overlap,
            now=how.now,
            reason=how.reason,
        )

    threads = threads_of(request)
    limiter = threads.wishes if how.now else None
    started = await run_sync(start, services, once, begin, limiter=limiter)
    if how.now:
        await run_sync(_cut, services, started.operation, limiter=threads.cuts)
    return await answer(
        services, started.operation, waiting, done_status=200, replayed=started.replayed
    )


def _cut(services: Services, operation: OperationDocument) -> None:
    with transaction(services.database, write=False) as session:
        client = find_client(session, operation.client)
    assert client is not None  # rows of clients are never deleted
    try:
        cut_retired(services, client.id)
    except StackError as error:
        raise Problem(
            problems.ACCESS_UNCONFIRMED,
            f"It is written down that the old keys of {operation.client} are off, and the rotation "
            f"that has begun switches them off. AWS has not confirmed it: {error.failure.detail}",
            members={
                "code": error.failure.code,
                "committed": True,
                "operation": operation.id,
                "links": {
                    "operation": operation.links["self"],
                    "client": operation.links["client"],
                },
            },
            headers={"Retry-After": "5"},
        ) from error
