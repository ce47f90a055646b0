"""Events: written with what they tell of, in order, on each kind of database."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import select

from models.audit import AuditEntry, append_audit
from models.audit_entry import AuditValueError
from models.clients import Client, find_client
from models.database import create_engine_for, transaction
from models.outgoing import EventType, FeedEvent, WebhookDelivery
from service.accounts import ensure_operator
from service.context import Services
from service.outgoing.announce import announce
from service.outgoing.endpoints import create_endpoint, delete_endpoint
from service.wishes import Requester
from tests.models.factories import make_client, make_operation
from tests.seeds import first_seed
from tests.waiting import PATIENCE

URL = "http://127.0.0.1:9/"


@pytest.fixture
def either(services: Services, either_url: str) -> Iterator[Services]:
    """The services on each kind of database."""
    engine = create_engine_for(either_url)
    yield replace(services, database=engine)
    engine.dispose()


def events(services: Services, after: int = 0) -> list[FeedEvent]:
    """What a reader of the feed sees."""
    query = select(FeedEvent).where(FeedEvent.sequence > after).order_by(FeedEvent.sequence)  # type: ignore[arg-type]
    with transaction(services.database, write=False) as session:
        return list(session.exec(query).all())


def test_an_event_names_client_contract_and_operation(services: Services, client: Client) -> None:
    """RX-41: what was told to others is evidence, with slug, reference and operation id."""
    with transaction(services.database) as session:
        operation = make_operation(session, client, ensure_operator(session))
        announce(
            session,
            EventType.record_ready,
            client,
            operation=operation,
            data={"record": "T-050-003-2026-0001", "version": 1},
        )
    [event] = events(services)
    assert (event.sequence, event.type, event.client_id) == (1, "record.ready", client.id)
    assert event.data == {
        "slug": "ABC-LLC",
        "contract_reference": "DPA-2026-014",
        "operation_id": operation.id,
        "operation_kind": "open",
        "operation_state": "pending",
        "record": "T-050-003-2026-0001",
        "version": 1,
    }


@pytest.mark.parametrize(
    "value",
    [
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "hnd_" + "a1B2" * 10,
        "Ada Lovelace",
        "ada@abc.example",
        {"secret": "x"},
        b"bytes",
    ],
)
def test_no_secret_name_or_sentence_gets_into_an_event(
    services: Services, client: Client, value: Any
) -> None:
    """PB-13: ids, codes, numbers and dates only."""
    with (
        pytest.raises(AuditValueError),
        transaction(services.database) as session,
    ):
        announce(session, EventType.key_expiring, client, data={"value": value})
    assert events(services) == []


def test_an_event_stands_or_falls_with_its_transaction(services: Services, client: Client) -> None:
    def announce_and_break() -> None:
        with transaction(services.database) as session:
            announce(session, EventType.client_closed, client)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        announce_and_break()
    assert events(services) == []


def test_each_endpoint_that_wants_it_gets_a_delivery(either: Services) -> None:
    """Those deleted, and those that asked for other types, get none."""
    with transaction(either.database) as session:
        operator = ensure_operator(session)
        client = make_client(session, operator, "ABC-LLC")
        asked_by = Requester(operator.id)
        wanting = [
            create_endpoint(session, either.keyring, asked_by, url=URL, event_types=types).endpoint
            for types in (None, [EventType.client_closed], [EventType.record_ready], None)
        ]
        delete_endpoint(session, asked_by, wanting[3].id)
    with transaction(either.database) as session:
        announce(session, EventType.client_closed, client)
    with transaction(either.database, write=False) as session:
        told = {delivery.endpoint_id for delivery in session.exec(select(WebhookDelivery))}
    assert told == {wanting[0].id, wanting[1].id}


def test_a_reader_who_remembers_the_last_sequence_misses_nothing(either: Services) -> None:
    """Writers at once, each dawdling before its commit: no event appears before an earlier one."""
    seed = first_seed()
    print(f"seed {seed}")
    writers, each = 6, 4
    with transaction(either.database) as session:
        operator = ensure_operator(session)
        slugs = [make_client(session, operator, f"C-{number}").slug for number in range(writers)]

    def write(slug: str) -> None:
        pauses = random.Random(f"{seed}/{slug}")  # noqa: S311 - pauses, not secrets
        for _ in range(each):
            with transaction(either.database) as session:
                client = find_client(session, slug, for_update=True)
                assert client is not None
                time.sleep(pauses.uniform(0, 0.01))
                announce(session, EventType.operation_succeeded, client)
                time.sleep(pauses.uniform(0, 0.02))
                append_audit(session, AuditEntry(operator.id, "client.opened", "client", client.id))

    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        last_look = False
        while not last_look:
            last_look = done.is_set()
            found = events(either, seen[-1] if seen else 0)
            seen.extend(event.sequence for event in found)

    with ThreadPoolExecutor(writers + 1) as pool:
        reading = pool.submit(read)
        try:
            list(pool.map(write, slugs))
        finally:
            done.set()
        reading.result()
    assert seen == list(range(1, writers * each + 1))


def test_announcing_waits_for_no_lock_in_a_circle(either: Services) -> None:
    """One holds a client's row and wants the ledger, the other the ledger and names that client."""
    with transaction(either.database) as session:
        operator = ensure_operator(session)
        slug = make_client(session, operator, "ABC-LLC").slug

    def warn() -> None:
        with transaction(either.database) as session:
            client = find_client(session, slug)
            assert client is not None
            announce(session, EventType.key_expiring, client)
            time.sleep(0.05)

    def change() -> None:
        with transaction(either.database) as session:
            client = find_client(session, slug, for_update=True)
            assert client is not None
            time.sleep(0.02)
            append_audit(session, AuditEntry(operator.id, "client.opened", "client", client.id))

    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            for outcome in [pool.submit(warn), pool.submit(change)]:
                outcome.result(timeout=PATIENCE)
    assert len(events(either)) == 5


def test_feed_and_audit_are_never_waited_for_in_a_circle(either: Services) -> None:
    """One tells the feed first and the other the audit: both take them in the same order."""
    with transaction(either.database) as session:
        operator = ensure_operator(session)
        slugs = [make_client(session, operator, f"C-{number}").slug for number in range(8)]

    def tell(number: int) -> None:
        with transaction(either.database) as session:
            client = find_client(session, slugs[number], for_update=True)
            assert client is not None
            if number % 2:
                announce(session, EventType.operation_succeeded, client)
            append_audit(session, AuditEntry(operator.id, "client.opened", "client", client.id))
            if not number % 2:
                announce(session, EventType.operation_succeeded, client)

    with ThreadPoolExecutor(len(slugs)) as pool:
        for _ in range(8):
            list(pool.map(tell, range(len(slugs))))
    assert len(events(either)) == 64
