"""A worker that is driven by hand: it moves rows through the models' own functions, and makes
nothing.

Stands in for the true worker where a test is about the API alone and has to decide when an
operation ends.
"""

import secrets
from contextlib import AbstractContextManager

from sqlmodel import Session, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, ClientState, move_client
from models.database import transaction
from models.operations import (
    EventKind,
    Failure,
    Operation,
    OperationKind,
    OperationState,
    add_event,
    begin_attempt,
    transition,
)
from service.context import Services

DENIED = Failure(
    code="AccessDenied",
    detail="AWS refused to create the user.",
    next_step="Give the service's role iam:CreateUser and send the request again.",
    rolled_back=["aws:s3/bucketObjectv2:BucketObjectv2 placeholder"],
)


class HandWorker:
    """A dispatcher whose operations end when the test says so, or at once when `automatic`."""

    def __init__(self) -> None:
        self.services: Services | None = None
        self.automatic = False
        self.failure: Failure | None = None
        self.started: list[str] = []
        self.secrets: list[str] = []
        self.is_alive = True

    def start(self, operation_id: str) -> None:
        """Note the operation, and carry it out when `automatic`."""
        self.started.append(operation_id)
        if self.automatic:
            self.finish(operation_id)

    def alive(self) -> bool:
        """Tell what the test wants to be told."""
        return self.is_alive

    def begin(self, operation_id: str) -> None:
        """Take the operation up and tell one step and one resource."""
        with self._transaction() as session:
            operation = session.get_one(Operation, operation_id)
            begin_attempt(operation)
            operation.step, operation.progress_total = "make", 5
            add_event(operation, EventKind.step, {"step": "make"})
            add_event(operation, EventKind.resource, {"type": "User", "phase": "done"})
        self._publish(operation_id)

    def finish(self, operation_id: str) -> None:
        """Carry the operation out: to success, or to `failure` when that is set."""
        self.begin(operation_id)
        with self._transaction() as session:
            operation = session.get_one(Operation, operation_id)
            client = session.get_one(Client, operation.client_id)
            if self.failure is not None:
                move_client(client, ClientState.failed)
                transition(operation, OperationState.failed, failure=self.failure)
            else:
                self._succeed(session, operation, client)
        self._publish(operation_id)

    def _succeed(self, session: Session, operation: Operation, client: Client) -> None:
        if operation.kind is OperationKind.close:
            self._end_keys(session, client)
            client.remaining_objects, client.remaining_bytes = 2, 2048
            client.remaining_counted_at = utc_now()
            move_client(client, ClientState.closed)
        else:
            self._make_key(session, operation, client)
            move_client(client, ClientState.open)
        transition(operation, OperationState.succeeded)

    def _make_key(self, session: Session, operation: Operation, client: Client) -> None:
        assert self.services is not None
        living = AccessKey.status == AccessKeyStatus.active
        key = session.exec(select(AccessKey).where(AccessKey.client_id == client.id, living)).one()
        secret = secrets.token_urlsafe(30)
        self.secrets.append(secret)
        key.access_key_id = "AKIA" + secrets.token_hex(8).upper()
        key.seal_secret(self.services.keyring, secret)
        key.proven_at = utc_now()
        self.services.records.create(session, operation, client, key)

    def _end_keys(self, session: Session, client: Client) -> None:
        for key in session.exec(select(AccessKey).where(AccessKey.client_id == client.id)):
            key.status, key.secret, key.ended_at = AccessKeyStatus.deleted, None, utc_now()

    def _publish(self, operation_id: str) -> None:
        assert self.services is not None
        self.services.hub.publish(operation_id)

    def _transaction(self) -> AbstractContextManager[Session]:
        assert self.services is not None
        return transaction(self.services.database)
