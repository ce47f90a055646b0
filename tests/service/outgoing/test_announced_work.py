"""What a real worker announces of real work, and that it reaches a receiver (issue 7)."""

import json
from typing import Any

from sqlmodel import col, delete, select

from models.clients import Signer, find_client
from models.database import transaction
from models.operations import Operation
from models.outgoing import FeedEvent
from service.accounts import ensure_operator
from service.assembly import Runtime
from service.intents import begin_close, keys_of
from service.outgoing.endpoints import create_endpoint
from service.wishes import Requester
from tests.service.outgoing.receiver import Receiver, signature, signatures
from tests.service.worker.conftest import runtime as runtime
from tests.service.worker.test_worker import ended, wish
from tests.waiting import until


def close(runtime: Runtime, slug: str) -> str:
    """Ask for the closing of a client and return the operation."""
    services = runtime.services
    with transaction(services.database) as session:
        client = find_client(session, slug, for_update=True)
        assert client is not None
        requester = Requester(ensure_operator(session).id)
        return begin_close(session, client, "The contract ended", requester).id


def feed(runtime: Runtime, operation: Operation) -> list[dict[str, Any]]:
    """The events of one operation, in order, as type and data."""
    query = select(FeedEvent).where(FeedEvent.operation_id == operation.id)
    with transaction(runtime.services.database, write=False) as session:
        rows = session.exec(query.order_by(col(FeedEvent.sequence))).all()
    return [{"type": row.type.value, **row.data} for row in rows]


def test_opening_and_closing_reach_the_receiver(
    runtime: Runtime, unique: str, receiver: Receiver
) -> None:
    """Each event once, signed, with slug, reference and operation id, and without any secret."""
    services = runtime.services
    with transaction(services.database) as session:
        asked_by = Requester(ensure_operator(session).id)
        made = create_endpoint(session, services.keyring, asked_by, url=receiver.url)
    opening, client = ended(runtime, wish(runtime, unique))
    with transaction(services.database, write=False) as session:
        secrets = [
            key.open_secret(services.keyring) for key in keys_of(session, client) if key.secret
        ]
    assert secrets
    closing, _ = ended(runtime, close(runtime, unique))
    until(lambda: len(receiver.received) == 4)
    told = sorted((request.content for request in receiver.received), key=lambda e: e["sequence"])
    assert [(event["type"], event["data"]["operation_id"]) for event in told] == [
        ("operation.succeeded", opening.id),
        ("record.ready", opening.id),
        ("operation.succeeded", closing.id),
        ("client.closed", closing.id),
    ]
    assert {event["data"]["slug"] for event in told} == {unique}
    assert {event["data"]["contract_reference"] for event in told} == {unique}
    assert told[1]["data"]["version"] == 1
    for request in receiver.received:
        assert signatures(request) == [signature(made.plain, request)]
        assert not [secret for secret in secrets if secret and secret in request.body.decode()]
        assert "Lovelace" not in request.body.decode()


def test_a_failure_is_announced_once_with_its_code(runtime: Runtime, unique: str) -> None:
    """A client whose signer is missing: the opening breaks within and is rolled back."""
    operation_id = wish(runtime, unique)
    with transaction(runtime.services.database) as session:
        session.exec(delete(Signer))
    operation, _ = ended(runtime, operation_id)
    [event] = feed(runtime, operation)
    assert (event["type"], event["operation_state"]) == ("operation.failed", "failed")
    assert event["failure_code"] == operation.failure_code == "InternalError"
    assert operation.failure_detail
    assert operation.failure_detail not in json.dumps(event)
