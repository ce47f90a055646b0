"""Running a failed operation again, in place: same operation, next run, same wish.

It passes the doors of a new request of its kind: what would be refused today is not begun again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session

from models.access_keys import AccessKeyStatus
from models.clients import Client, ClientState, current_contract, move_client
from models.operations import Operation, OperationKind, OperationState, transition
from service import problems
from service.approvals.asking import refuse_unapproved
from service.context import Services
from service.intake import refuse_outdated
from service.intents import (
    Admission,
    audit,
    keys_of,
    latest_operation,
    links_of,
    plan_key,
    refuse_area,
    refuse_unfinished,
)
from service.problems import Problem
from service.rotation.wishes import plan_next_key, refuse_rotation
from service.wishes import Requester

OPENINGS = (OperationKind.open, OperationKind.reopen)


def retry(
    session: Session,
    services: Services,
    client: Client,
    operation: Operation,
    requester: Requester,
    admit: Admission,
) -> None:
    """Make a failed operation pending again; its events and the run before stay to be read.

    Both rows are locked by the caller. Raises the 409 Problem when it did not fail, when another
    operation of the client came after it, or when one is unfinished; and the Problem with which a
    new request of its kind would be refused now.
    """
    _refuse_not_last(session, client, operation)
    _pass_doors(session, services, client, operation, admit)
    operation.parameters = {**operation.parameters, **_REPLAN[operation.kind](session, client)}
    transition(operation, OperationState.pending)
    data = {"operation_id": operation.id, "run": operation.run}
    audit(session, requester, f"client.{operation.kind.value}_retried", client, data)


def _refuse_not_last(session: Session, client: Client, operation: Operation) -> None:
    refuse_unfinished(session, client)
    latest = latest_operation(session, client)
    if operation.state is not OperationState.failed or latest is None or latest.id != operation.id:
        raise Problem(
            problems.OPERATION_NOT_RETRIABLE,
            f"{operation.kind.value} of {client.slug} has {operation.state.value}"
            + ("." if latest is None or latest.id == operation.id else ", and others came after."),
            members={"links": links_of(client, latest)},
        )


def _pass_doors(
    session: Session, services: Services, client: Client, operation: Operation, admit: Admission
) -> None:
    """Closings have no doors, as taking access away must always work, nor has a repair."""
    settings = services.settings
    if operation.kind in OPENINGS:
        contract = current_contract(session, client.id)
        assert contract is not None  # every client is written together with a contract
        refuse_outdated(client, contract, services.today())
        refuse_unapproved(session, settings, operation, client, contract)
        refuse_area(session, settings, admit)
    elif operation.kind is OperationKind.rotate:
        now = bool(operation.parameters.get("now"))
        refuse_rotation(settings, client, keys_of(session, client), now=now)


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
