"""`/v1/operations/{id}/cancel` and `/retry`: stop an operation, or run a failed one again."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from models.actors import Scope
from models.clients import Client, find_client
from models.database import transaction
from models.operations import CancelMode, Operation, OperationKind
from service import problems
from service.cancelling import cancel
from service.http.dependencies import Caller, ServicesDep, Writer
from service.http.documents import OperationDocument
from service.http.guards import json_only
from service.http.negotiation import WaitingDep
from service.http.openapi import FOLLOW_HEADERS, Responses, documented
from service.http.quota import AdmissionDep
from service.http.reading import operation_document, operation_within_reach
from service.http.waiting import accepted, answer
from service.requests import PlainText
from service.retrying import retry

router = APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=[Depends(json_only)])

OperationId = Annotated[str, Path(description="The operation's id.")]
_FOLLOW: Responses = {
    200: {"model": OperationDocument, "description": "It has ended."},
    202: {
        "model": OperationDocument,
        "description": "The operation, not finished yet.",
        "headers": FOLLOW_HEADERS,
    },
}
_CHANGES = (
    problems.NOT_FOUND,
    problems.INSUFFICIENT_SCOPE,
    problems.MALFORMED_BODY,
    problems.BODY_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID_REQUEST,
)


class CancelOperation(BaseModel):
    """Why an operation is to stop, and what is to become of what it has made so far."""

    model_config = ConfigDict(extra="forbid")

    reason: PlainText = Field(
        min_length=3, max_length=500, examples=["Opened for the wrong client"]
    )
    mode: CancelMode = CancelMode.roll_back


@router.post(
    "/{operation_id}/cancel",
    summary="Cancel an operation",
    status_code=202,
    response_model=OperationDocument,
    responses=_FOLLOW | documented(*_CHANGES, problems.OPERATION_FINISHED),
)
async def cancel_operation(
    operation_id: OperationId, body: CancelOperation, services: ServicesDep, caller: Writer
) -> Response:
    """Stop the operation before its next resource; roll back what it made, or leave it.

    What has not begun is cancelled at once. A closing is never undone: its keys stay off. Where
    what was made is left, its keys are cut all the same: of a rotation or a repair the new key
    stays, switched off. What was cancelled is final; `next_step` says what can be done instead.
    """

    def change() -> OperationDocument:
        with transaction(services.database) as session:
            operation, client = _held(session, caller, operation_id)
            cancel(session, client, operation, body.mode, body.reason, caller.requester)
            return operation_document(operation, client)

    operation = await run_sync(change)
    services.hub.publish(operation.id)
    return accepted(operation, {})


@router.post(
    "/{operation_id}/retry",
    summary="Run a failed operation again",
    status_code=202,
    response_model=OperationDocument,
    responses=_FOLLOW
    | documented(
        problems.NOT_FOUND,
        problems.INSUFFICIENT_SCOPE,
        problems.OPERATION_IN_PROGRESS,
        problems.OPERATION_NOT_RETRIABLE,
        problems.OPERATION_FAILED,
        problems.INVALID_REQUEST,
        problems.CONTRACT_NOT_SIGNED,
        problems.CONTRACT_ENDED,
        problems.APPROVAL_REQUIRED,
        problems.CLIENT_SUSPENDED,
        problems.ROTATION_IN_OVERLAP,
        problems.QUOTA_REACHED,
        problems.QUEUE_FULL,
        problems.STORAGE_LOW,
    ),
)
async def retry_operation(
    operation_id: OperationId,
    services: ServicesDep,
    caller: Writer,
    admission: AdmissionDep,
    waiting: WaitingDep,
) -> Response:
    """Run the client's last operation again, in place, if it failed.

    What would refuse a new request of its kind refuses this too: an opening passes its gates, the
    queue's limit and the account's quota again, a rotation the rules of rotations.
    """

    def change() -> OperationDocument:
        admission.refresh()
        with transaction(services.database) as session:
            operation, client = _held(session, caller, operation_id)
            retry(session, services, client, operation, caller.requester, admission.admit)
            return operation_document(operation, client)

    operation = await run_sync(change)
    services.dispatcher.start(operation.id)
    return await answer(services, operation, waiting, done_status=200)


def _held(session: Session, caller: Caller, operation_id: str) -> tuple[Operation, Client]:
    """Return the operation and its client, both locked, client first; the caller may change it."""
    operation, client = operation_within_reach(session, caller, operation_id)
    if operation.kind is OperationKind.close:
        caller.require(Scope.clients_close)
    find_client(session, client.slug, for_update=True)
    session.refresh(operation, with_for_update=True)
    return operation, client
