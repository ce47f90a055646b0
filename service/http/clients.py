"""`/v1/clients`: open, close and reopen areas."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from sqlmodel import Session

from models.actors import Scope
from models.clients import Client, current_contract
from models.names import slug_key
from models.operations import UNFINISHED, Operation, OperationState
from service import problems
from service.context import Services
from service.http.dependencies import Caller, Closer, ServicesDep, Writer
from service.http.documents import ClientDocument, OperationDocument
from service.http.guards import json_only
from service.http.negotiation import (
    IdempotencyKeyDep,
    IfMatch,
    Waiting,
    WaitingDep,
    WantsPdf,
)
from service.http.openapi import FOLLOW_HEADERS, PDF_CONTENT, Responses, documented
from service.http.parameters import Reason, Slug
from service.http.preconditions import client_for_change
from service.http.quota import AdmissionControl, AdmissionDep
from service.http.record_answers import record_answer
from service.http.starting import Once, Started, start
from service.http.waiting import accepted, answer, refuse_failed, settled
from service.intake import validate, validate_reopen
from service.intents import begin_close, begin_open, begin_reopen
from service.problems import Problem
from service.requests import CreateClient, ReopenClient

router = APIRouter(prefix="/v1/clients", tags=["clients"], dependencies=[Depends(json_only)])

_ACCEPTED: Responses = {
    202: {
        "model": OperationDocument,
        "description": "The operation that was started, or is not finished yet.",
        "headers": FOLLOW_HEADERS,
    }
}
_STARTS = (
    problems.INSUFFICIENT_SCOPE,
    problems.OPERATION_IN_PROGRESS,
    problems.IDEMPOTENCY_KEY_REUSED,
    problems.INVALID_REQUEST,
    problems.OPERATION_FAILED,
)
_TAKES_BODY = (
    problems.MALFORMED_BODY,
    problems.BODY_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.NOT_ACCEPTABLE,
    problems.NOBODY_CAN_APPROVE,
    problems.CONTRACT_NOT_SIGNED,
    problems.CONTRACT_ENDED,
    problems.QUOTA_REACHED,
    problems.QUEUE_FULL,
    problems.STORAGE_LOW,
)


@router.post(
    "",
    status_code=202,
    summary="Open an area",
    response_model=OperationDocument,
    responses=_ACCEPTED
    | {
        200: {"model": OperationDocument, "description": "Repeated, and ended since."},
        201: {
            "model": ClientDocument,
            "description": "Opened in time: the client, or its record.",
            "content": PDF_CONTENT,
        },
    }
    | documented(
        *_STARTS,
        *_TAKES_BODY,
        problems.SLUG_OUT_OF_REACH,
        problems.SLUG_TAKEN,
        problems.CLIENT_EXISTS,
        problems.CLIENT_CLOSED,
    ),
)
async def open_client(
    body: CreateClient,
    services: ServicesDep,
    caller: Writer,
    admission: AdmissionDep,
    key: IdempotencyKeyDep,
    waiting: WaitingDep,
    pdf: WantsPdf,
) -> Response:
    """Check the contract, then open the client's area: 202 and the operation.

    `Prefer: wait=N` waits for the client (201). `Accept: application/pdf` waits and answers the
    protected record itself (needs `records:read` as well); past the limit it answers 202 like any
    other.
    """
    _require_for_pdf(caller, pdf)
    once = Once.of(caller.actor.id, key, "POST", "/v1/clients", body.model_dump(mode="json"))
    started = await run_sync(_open, services, caller, admission, once, body)
    return await _answer(services, caller, started, waiting, pdf=pdf, done_status=201)


@router.delete(
    "/{slug}",
    status_code=202,
    summary="Close an area",
    response_model=OperationDocument,
    responses=_ACCEPTED
    | {200: {"model": ClientDocument, "description": "Closed in time: the client."}}
    | documented(
        *_STARTS, problems.NOT_FOUND, problems.CLIENT_CLOSED, problems.PRECONDITION_FAILED
    ),
)
async def close_client(
    slug: Slug,
    reason: Reason,
    services: ServicesDep,
    caller: Closer,
    key: IdempotencyKeyDep,
    waiting: WaitingDep,
    if_match: IfMatch = None,
) -> Response:
    """Switch the key off, then take the whole area away. The client's objects stay."""
    once = Once.of(caller.actor.id, key, "DELETE", f"/v1/clients/{slug_key(slug)}", reason)

    def begin(session: Session) -> Operation:
        client = client_for_change(session, caller, slug, if_match)
        return begin_close(session, client, reason, caller.requester)

    started = await run_sync(start, services, once, begin)
    return await _answer(services, caller, started, waiting)


@router.post(
    "/{slug}/reopen",
    status_code=202,
    summary="Reopen an area",
    response_model=OperationDocument,
    responses=_ACCEPTED
    | {
        200: {
            "model": ClientDocument,
            "description": "Open in time: the client, or its record.",
            "content": PDF_CONTENT,
        }
    }
    | documented(
        *_STARTS,
        *_TAKES_BODY,
        problems.NOT_FOUND,
        problems.CLIENT_NOT_CLOSED,
        problems.PRECONDITION_FAILED,
    ),
)
async def reopen_client(
    slug: Slug,
    services: ServicesDep,
    caller: Writer,
    admission: AdmissionDep,
    key: IdempotencyKeyDep,
    waiting: WaitingDep,
    pdf: WantsPdf,
    body: ReopenClient = ReopenClient(),
    if_match: IfMatch = None,
) -> Response:
    """Open a closed or failed client again: same slug, new key, next record.

    The gates are checked again. The operation says what still lies in the area.
    """
    _require_for_pdf(caller, pdf)
    content = body.model_dump(mode="json", exclude_unset=True)
    once = Once.of(caller.actor.id, key, "POST", f"/v1/clients/{slug_key(slug)}/reopen", content)

    def begin(session: Session) -> Operation:
        client = client_for_change(session, caller, slug, if_match)
        return _reopen(session, services, caller, admission, client, body)

    await run_sync(admission.refresh)
    started = await run_sync(start, services, once, begin)
    return await _answer(services, caller, started, waiting, pdf=pdf)


def _open(
    services: Services, caller: Caller, admission: AdmissionControl, once: Once, body: CreateClient
) -> Started:
    admission.refresh()

    def begin(session: Session) -> Operation:
        # Checked only now: a repeated request answers its operation even if the rules say no today.
        can_print = services.records.can_print
        intent = validate(body, services.today(), can_print)
        if not caller.token.reaches(intent.slug):
            detail = f"The token is limited to other slugs than {intent.slug}."
            raise Problem(problems.SLUG_OUT_OF_REACH, detail)
        return begin_open(session, services.settings, intent, caller.requester, admission.admit)

    return start(services, once, begin)


def _reopen(
    session: Session,
    services: Services,
    caller: Caller,
    admission: AdmissionControl,
    client: Client,
    body: ReopenClient,
) -> Operation:
    contract = current_contract(session, client.id)
    assert contract is not None  # every client is written together with a contract
    can_print = services.records.can_print
    intent = validate_reopen(body, client, contract, services.today(), can_print)
    settings = services.settings
    return begin_reopen(session, settings, client, intent, caller.requester, admission.admit)


async def _answer(
    services: Services,
    caller: Caller,
    started: Started,
    waiting: Waiting,
    *,
    pdf: bool = False,
    done_status: int = 200,
) -> Response:
    # A repeated request never gets a secret again, so it gets no PDF; what waits has none yet.
    waits = started.operation.state is OperationState.awaiting_approval
    if not pdf or started.replayed or waits:
        return await answer(
            services, started.operation, waiting, done_status=done_status, replayed=started.replayed
        )
    limit = services.settings.wait_limit_seconds
    seconds = limit if waiting.seconds is None else waiting.within(limit)
    headers = waiting.headers(limit)
    operation = await settled(services, started.operation.id, seconds)
    if operation.state in UNFINISHED:
        return accepted(operation, headers)
    refuse_failed(operation, headers)
    location = {"Location": operation.links["client"]} if done_status == 201 else {}
    return await record_answer(services, caller, operation.client, done_status, headers | location)


def _require_for_pdf(caller: Caller, pdf: bool) -> None:
    if pdf:
        caller.require(Scope.records_read)
