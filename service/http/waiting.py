"""Waits for operations without holding a thread, and answers what became of them."""

import time
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from fastapi.responses import JSONResponse, Response
from sqlmodel import col, select

from models.clients import Client, find_client
from models.database import transaction
from models.operations import UNFINISHED, Operation, OperationState
from service import problems
from service.context import Services
from service.http.documents import ClientDocument, OperationDocument
from service.http.negotiation import Waiting
from service.http.reading import client_document, operation_document
from service.problems import Problem

POLL_SECONDS = 2.0
"""How long a follower of events trusts the absence of wake-ups."""

END_POLL_SECONDS = 3.0
"""How long a waiter for the end does."""

APPROVAL_RETRY = "60"
"""Seconds after which it is worth looking again whether somebody has approved."""


async def settled(services: Services, operation_id: str, seconds: float) -> OperationDocument:
    """Return the operation when it has ended, or as it stands after so many seconds."""
    deadline = time.monotonic() + seconds
    read = partial(_read_operation, services, operation_id)
    async with services.hub.subscribe(operation_id) as wakeups:
        while True:
            operation = await run_sync(read)
            left = deadline - time.monotonic()
            if operation.state not in UNFINISHED or left <= 0:
                return operation
            await wakeups.wait(min(left, END_POLL_SECONDS))


async def answer(
    services: Services,
    operation: OperationDocument,
    waiting: Waiting,
    *,
    done_status: int,
    replayed: bool = False,
) -> Response:
    """Answer a request that started an operation (or found it again).

    With `Prefer: wait` and success in time: the client, with `done_status`. Failed in time: the
    problem `operation-failed`. Otherwise 202 and the operation; 200 for a repeated request whose
    operation has ended already.
    """
    limit = services.settings.wait_limit_seconds
    told = {"Idempotency-Replayed": "true"} if replayed else {}
    if waiting.seconds is None or operation.state is OperationState.awaiting_approval:
        # People decide in hours, not in the seconds that a caller waits.
        return accepted(operation, told)
    headers = waiting.headers(limit) | told
    operation = await settled(services, operation.id, waiting.within(limit))
    if operation.state in UNFINISHED:
        return accepted(operation, headers)
    refuse_failed(operation, headers)
    client = await run_sync(_read_client, services, operation.client)
    return client_response(client, done_status, headers)


def accepted(operation: OperationDocument, headers: dict[str, str]) -> Response:
    """Return the operation and where to follow it: 202 while it is unfinished, else 200."""
    unfinished = operation.state in UNFINISHED
    location = {"Location": operation.links["self"]}
    waits = operation.state is OperationState.awaiting_approval
    retry = {"Retry-After": APPROVAL_RETRY if waits else "1"} if unfinished else {}
    content = operation.model_dump(mode="json")
    return JSONResponse(content, 202 if unfinished else 200, headers=headers | location | retry)


def client_response(client: ClientDocument, status: int, headers: dict[str, str]) -> Response:
    """Return the client with its entity tag; `Location` names it when it was just made."""
    location = {"Location": client.links["self"]} if status == 201 else {}
    content = client.model_dump(mode="json")
    return JSONResponse(content, status, headers=headers | location | {"ETag": client.etag})


def refuse_failed(operation: OperationDocument, headers: dict[str, str]) -> None:
    """Raise the problem that tells why the operation ended without success, if it did."""
    if operation.state is OperationState.succeeded:
        return
    failure = operation.failure
    members: dict[str, Any] = {
        "operation": operation.id,
        "code": failure.code if failure else operation.state.value,
        "rolled_back": failure.rolled_back if failure else [],
        "next_step": failure.next_step
        if failure
        else "Send the request again if it is still wanted.",
        "links": {"operation": operation.links["self"], "client": operation.links["client"]},
    }
    detail = failure.detail if failure else "The operation was cancelled."
    raise Problem(
        problems.OPERATION_FAILED,
        f"{operation.kind.value} of {operation.client}: {detail}",
        members=members,
        headers=headers,
    )


def _read_operation(services: Services, operation_id: str) -> OperationDocument:
    with transaction(services.database, write=False) as session:
        query = select(Operation, Client).join(Client, col(Client.id) == col(Operation.client_id))
        return operation_document(*session.exec(query.where(Operation.id == operation_id)).one())


def _read_client(services: Services, slug: str) -> ClientDocument:
    with transaction(services.database, write=False) as session:
        client = find_client(session, slug)
        assert client is not None  # rows of clients are never deleted
        return client_document(session, client)
