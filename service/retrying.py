"""Running a failed operation again, in place: same operation, next run, same wish."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session

from models.access_keys import AccessKeyStatus
from models.clients import Client, ClientState, move_client
from models.operations import Operation, OperationKind, OperationState, transition
from service import problems
from service.intents import (
    audit,
    keys_of,
    latest_operation,
    links_of,
    plan_key,
    refuse_unfinished,
)
from service.problems import Problem
from service.rotation.wishes import plan_next_key
from service.wishes import Requester


def retry(session: Session, client: Client, operation: Operation, requester: Requester) -> None:
    """Make a failed operation pending again; its events and the run before stay to be read.

    Both rows are locked by the caller. Raises the 409 Problem when it did not fail, when another
    operation of the client came after it, or when one is unfinished.
    """
    refuse_unfinished(session, client)
    latest = latest_operation(session, client)
    if operation.state is not OperationState.failed or latest is None or latest.id != operation.id:
        raise Problem(
            problems.OPERATION_NOT_RETRIABLE,
            f"{operation.kind.value} of {client.slug} has {operation.state.value}"
            + ("." if latest is None or latest.id == operation.id else ", and others came after."),
            members={"links": links_of(client, latest)},
        )
    operation.parameters = {**operation.parameters, **_REPLAN[operation.kind](session, client)}
    transition(operation, OperationState.pending)
    data = {"operation_id": operation.id, "run": operation.run}
    audit(session, requester, f"client.{operation.kind.value}_retried", client, data)


def _opening(session: Session, client: Client) -> dict[str, Any]:
    move_client(client, ClientState.opening)
    return plan_key(session, client)


def _closing(session: Session, client: Client) -> dict[str, Any]:  # noqa: ARG001
    move_client(client, ClientState.closing)
    return {}


def _rotation(session: Session, client: Client) -> dict[str, Any]:
    planned = keys_of(session, client)[-1]
    if planned.status is AccessKeyStatus.active and planned.proven_at is None:
        # Left by a worker that died too often; the run goes on with it.
        return {}
    return plan_next_key(session, client, keys_of(session, client))


def _nothing(session: Session, client: Client) -> dict[str, Any]:  # noqa: ARG001
    return {}


_REPLAN: Mapping[OperationKind, Callable[[Session, Client], dict[str, Any]]] = {
    OperationKind.open: _opening,
    OperationKind.reopen: _opening,
    OperationKind.close: _closing,
    OperationKind.rotate: _rotation,
    OperationKind.update: _nothing,
    OperationKind.repair: _nothing,
}
"""What is planned anew for each kind, before it runs again; returns changed parameters."""
