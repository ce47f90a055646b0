"""Starts operations: one transaction, a commit, then the dispatcher; repeated requests find their
operation.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session

from models.clients import Client
from models.database import transaction
from models.idempotency import IdempotencyKey
from models.operations import Operation, OperationState
from service import problems
from service.context import Services
from service.http.documents import OperationDocument
from service.http.reading import operation_document
from service.problems import Problem

_ATTEMPTS = 5
_ENDED_WITHOUT_SUCCESS = (OperationState.failed, OperationState.cancelled)


@dataclass(frozen=True)
class Once:
    """What makes a repeated request the same one: actor, key, and a digest of method, path and
    body.
    """

    actor_id: str
    key: str | None
    digest: str

    @classmethod
    def of(cls, actor_id: str, key: str | None, method: str, path: str, body: Any) -> "Once":
        """Return it for a request; `body` is compared as canonical JSON, so that spacing does not
        matter.
        """
        content = json.dumps([method, path, body], sort_keys=True, separators=(",", ":"))
        return cls(actor_id, key, hashlib.sha256(content.encode()).hexdigest())


@dataclass(frozen=True)
class Started:
    """An operation that was started, or found again for a repeated request (`replayed`)."""

    operation: OperationDocument
    replayed: bool


def start(services: Services, once: Once, begin: Callable[[Session], Operation]) -> Started:
    """Run `begin` in one transaction and dispatch its operation after the commit.

    A request with a known idempotency key answers the operation it started before. Of several that
    race for one client or key, one wins and the others are run again against what it wrote.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            started = _attempt(services, once, begin)
        except (IntegrityError, StaleDataError):
            if attempt == _ATTEMPTS:
                raise
        except Problem:
            # Between the look for the key and the refusal another request with this key may have
            # committed (PostgreSQL): a second look tells a replay from a true refusal.
            if not once.key or attempt > 1:
                raise
        else:
            break
    if not started.replayed and started.operation.state is OperationState.pending:
        services.dispatcher.start(started.operation.id)
    return started


def _attempt(services: Services, once: Once, begin: Callable[[Session], Operation]) -> Started:
    with transaction(services.database) as session:
        known = _recall(session, once)
        operation = known or begin(session)
        if known is None:
            _remember(session, once, operation)
        client = session.get_one(Client, operation.client_id)
        return Started(operation_document(operation, client), replayed=known is not None)


def _recall(session: Session, once: Once) -> Operation | None:
    row = session.get(IdempotencyKey, (once.actor_id, once.key)) if once.key else None
    if row is None:
        return None
    if row.body_sha256 != once.digest:
        raise Problem(
            problems.IDEMPOTENCY_KEY_REUSED,
            "This Idempotency-Key was used before for another address or body.",
            members={"links": {"operation": f"/v1/operations/{row.operation_id}"}},
        )
    operation = session.get_one(Operation, row.operation_id)
    if operation.state in _ENDED_WITHOUT_SUCCESS:
        # All of it was rolled back, so the same request may try again under the same key.
        session.delete(row)
        session.flush()
        return None
    return operation


def _remember(session: Session, once: Once, operation: Operation) -> None:
    if once.key:
        session.add(
            IdempotencyKey(
                actor_id=once.actor_id,
                key=once.key,
                body_sha256=once.digest,
                operation_id=operation.id,
            )
        )
        session.flush()
