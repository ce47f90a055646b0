"""Idempotency keys: one use of a key for each actor."""

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from models import Actor, IdempotencyKey, Operation
from models.database import transaction
from tests.models.factories import make_actor, make_client, make_operation


def test_a_key_is_used_once_by_each_actor(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        other = make_actor(session)
        operation = make_operation(session, make_client(session, actor), actor)
        for who in (actor, other):
            session.add(idempotency_key(who, operation))
        session.flush()
        session.expunge_all()
        session.add(idempotency_key(actor, operation, body="b" * 64))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()


def idempotency_key(actor: Actor, operation: Operation, body: str = "a" * 64) -> IdempotencyKey:
    return IdempotencyKey(
        actor_id=actor.id, key="k" * 255, body_sha256=body, operation_id=operation.id
    )
