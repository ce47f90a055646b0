"""How a wait for approvals ends: the work may begin, or nothing was ever made (SP-04, SP-07).

An operation that was not approved becomes `cancelled`, which is final: no retry can start what
nobody has approved.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.approvals import Approval, ApprovalState, approvals_of
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.clients import Client, ClientState, move_client
from models.database import transaction
from models.operations import Failure, Operation, OperationState, transition
from service.accounts import ensure_timekeeper
from service.approvals.asking import described
from service.approvals.trail import tell
from service.context import Services
from service.outgoing.announce import EventType, announce
from service.wishes import Requester

log = logging.getLogger(__name__)

EXPIRED = "ApprovalExpired"
REJECTED = "ApprovalRejected"


def locked(session: Session, operation_id: str) -> tuple[Operation, Client]:
    """Return an operation and its client, both held until the transaction ends.

    The client first, as everywhere, so that two writers never wait for each other.
    """
    client_id = session.get_one(Operation, operation_id).client_id
    client = session.get_one(Client, client_id, with_for_update=True, populate_existing=True)
    operation = session.get_one(
        Operation, operation_id, with_for_update=True, populate_existing=True
    )
    return operation, client


def release(session: Session, operation: Operation, client: Client, by: Requester) -> None:
    """Let the work begin: all approvals are given. Dispatch the operation after the commit."""
    transition(operation, OperationState.pending)
    _tell_of_client(session, operation, client, by, "approved")


def refuse(
    session: Session, operation: Operation, client: Client, by: Requester, failure: Failure
) -> None:
    """End an operation that was not approved; nothing was made, and nothing will be."""
    withdraw_approvals(session, operation, by)
    for key in session.exec(select(AccessKey).where(AccessKey.client_id == client.id)):
        if key.status is not AccessKeyStatus.deleted:
            key.status, key.ended_at = AccessKeyStatus.deleted, utc_now()
    transition(operation, OperationState.cancelled, failure=failure)
    move_client(client, ClientState.failed)
    announce(session, EventType.operation_failed, client, operation=operation)
    _tell_of_client(session, operation, client, by, "cancelled")


def withdraw_approvals(session: Session, operation: Operation, by: Requester) -> None:
    """End the approvals of an operation that nobody has to decide any more.

    For whoever cancels an operation in `awaiting_approval`, in the same transaction.
    """
    operation.waiting_for = None
    waiting = [a for a in approvals_of(session, operation) if a.state is ApprovalState.waiting]
    for approval in waiting:
        close(approval, ApprovalState.withdrawn)
    session.flush()
    for approval in waiting:
        tell(session, by, "approval.withdrawn", approval)


def close(approval: Approval, state: ApprovalState) -> None:
    """Give an approval its final state."""
    approval.state, approval.ended_at = state, utc_now()


def clients_with_late_approvals(session: Session, now: datetime) -> Sequence[str]:
    """Return the ids of the clients with an approval that nobody decided in time."""
    query = select(Operation.client_id).join(Approval, col(Approval.operation_id) == Operation.id)
    return session.exec(query.where(*_late(now)).distinct()).all()


def expire_approvals(
    services: Services, now: datetime | None = None, *, client_id: str | None = None
) -> list[str]:
    """End every operation with an approval that nobody decided in time, of this client or of all;
    return their ids.

    Several processes may do it at once. Each operation has a transaction of its own.
    """
    moment = now or utc_now()
    late = select(Operation.id).join(Approval, col(Approval.operation_id) == Operation.id)
    late = late.where(*_late(moment))
    if client_id is not None:
        late = late.where(Operation.client_id == client_id)
    with transaction(services.database, write=False) as session:
        candidates = session.exec(late.distinct()).all()
    ended = [one for one in candidates if _expire(services, one, moment)]
    for operation_id in ended:
        log.info("operation %s was not approved in time", operation_id)
        services.hub.publish(operation_id)
    return ended


def _late(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return (col(Approval.state) == ApprovalState.waiting, col(Approval.expires_at) <= moment)


def _expire(services: Services, operation_id: str, moment: datetime) -> bool:
    with transaction(services.database) as session:
        operation, client = locked(session, operation_id)
        late = [
            approval
            for approval in approvals_of(session, operation)
            if approval.state is ApprovalState.waiting and approval.expires_at <= moment
        ]
        if operation.state is not OperationState.awaiting_approval or not late:
            return False
        by = Requester(ensure_timekeeper(session).id)
        for approval in late:
            close(approval, ApprovalState.expired)
        session.flush()
        for approval in late:
            tell(session, by, "approval.expired", approval)
        missed = "; ".join(map(described, late))
        failure = Failure(
            code=EXPIRED,
            detail=f"Not decided in time for {client.slug}: {missed}. Nothing was made.",
            next_step="Send the request again if it is still wanted, and tell who has to decide.",
        )
        refuse(session, operation, client, by, failure)
        return True


def _tell_of_client(
    session: Session, operation: Operation, client: Client, by: Requester, outcome: str
) -> None:
    append_audit(
        session,
        AuditEntry(
            actor_id=by.actor_id,
            action=f"client.{operation.kind.value}_{outcome}",
            object_type="client",
            object_id=client.id,
            client_id=client.id,
            source_ip=by.source_ip,
            request_id=by.audited_request_id,
            data={"operation_id": operation.id},
        ),
    )
