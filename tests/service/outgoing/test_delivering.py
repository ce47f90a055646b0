"""The deliverer: real threads and receivers, a clock that tests move, on each kind of database."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest
from sqlmodel import select

from models.audit import AuditEvent
from models.base import utc_now
from models.clients import Client
from models.database import create_engine_for, transaction
from models.outgoing import DeliveryState, EventType, FeedEvent, WebhookDelivery, WebhookEndpoint
from models.sealing import Keyring
from service.accounts import ensure_operator
from service.context import Services
from service.outgoing.announce import announce
from service.outgoing.deliverer import LEASE, PARALLEL_PER_ENDPOINT, Deliverer
from service.outgoing.destinations import Destinations
from service.outgoing.endpoints import create_endpoint, delete_endpoint, replay, rotate_secret
from service.outgoing.schedule import JITTER, MAX_ATTEMPTS, WAITS
from service.outgoing.sending import Sender
from service.wishes import Requester
from tests.models.factories import make_client
from tests.service.outgoing.receiver import Receiver, receiving, signature, signatures
from tests.waiting import PATIENCE, until

POLL = 0.02


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture
def either(services: Services, either_url: str) -> Iterator[Services]:
    """The services on each kind of database."""
    engine = create_engine_for(either_url)
    yield replace(services, database=engine)
    engine.dispose()


def sender(time_limit: float = 60.0) -> Sender:
    """A sender to loopback."""
    rules = Destinations(("127.0.0.1",), (IPv4Network("127.0.0.0/8"),))
    return Sender(rules, time_limit=time_limit)


@contextmanager
def delivering(
    services: Services, clock: Callable[[], datetime] = utc_now, time_limit: float = 60.0
) -> Iterator[Deliverer]:
    """Run a deliverer."""
    deliverer = Deliverer(
        services, sender=sender(time_limit), clock=clock, jitter=lambda: 1.0, poll_seconds=POLL
    )
    deliverer.launch()
    try:
        yield deliverer
    finally:
        deliverer.stop()
        assert not deliverer.alive()


def someone(services: Services) -> Requester:
    """Who acts."""
    with transaction(services.database) as session:
        return Requester(ensure_operator(session).id)


def subscribe(services: Services, url: str) -> tuple[str, str]:
    """Add an endpoint and return its id and secret."""
    asked_by = someone(services)
    with transaction(services.database) as session:
        made = create_endpoint(session, services.keyring, asked_by, url=url)
    return made.endpoint.id, made.plain


def some_client(services: Services) -> Client:
    """A client."""
    with transaction(services.database) as session:
        return make_client(session, ensure_operator(session))


def tell(services: Services, client: Client, times: int = 1) -> None:
    """Announce that an operation succeeded."""
    for _ in range(times):
        with transaction(services.database) as session:
            announce(session, EventType.operation_succeeded, client)


def deliveries(services: Services) -> list[WebhookDelivery]:
    """All deliveries."""
    with transaction(services.database, write=False) as session:
        return list(session.exec(select(WebhookDelivery)).all())


def settled(services: Services, attempts: int) -> WebhookDelivery:
    """The one delivery, once this attempt of it is settled."""

    def is_settled() -> bool:
        [delivery] = deliveries(services)
        return delivery.attempts == attempts and delivery.last_reason != "not yet"

    until(is_settled)
    return deliveries(services)[0]


def forget_reason(services: Services) -> None:
    """Mark the one delivery, so that the next attempt's end can be told from this one's."""
    with transaction(services.database) as session:
        session.exec(select(WebhookDelivery)).one().last_reason = "not yet"


def fail(services: Services, clock: Clock, attempts: int) -> list[timedelta]:
    """Let so many attempts fail, moving the clock to each next one; return the waits between."""
    waits = []
    for number in range(1, attempts + 1):
        delivery = settled(services, number)
        assert (delivery.last_status, delivery.last_reason) == (500, "answered 500")
        if delivery.state is DeliveryState.dead:
            break
        waits.append(delivery.next_attempt_at - clock.now)
        forget_reason(services)
        clock.now = delivery.next_attempt_at
    return waits


def test_a_receiver_that_fails_nine_times_hears_it_the_tenth_time(
    either: Services, receiver: Receiver
) -> None:
    """Backoff over about 75 hours; one id and one body all along, each attempt signed anew."""
    clock = Clock()
    receiver.statuses = [500] * 9
    _, secret = subscribe(either, receiver.url)
    tell(either, some_client(either))
    forget_reason(either)
    with delivering(either, clock):
        waits = fail(either, clock, 9)
        delivery = settled(either, 10)
    assert tuple(waits) == WAITS
    assert timedelta(hours=75) < sum(waits, timedelta()) < timedelta(hours=76)
    assert (delivery.state, delivery.last_status) == (DeliveryState.delivered, 200)
    assert len(receiver.received) == 10
    assert len({request.id for request in receiver.received}) == 1
    assert len({request.body for request in receiver.received}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.received}) == 10
    for request in receiver.received:
        assert signatures(request) == [signature(secret, request)]


def test_a_receiver_that_fails_ten_times_is_dead_until_it_is_replayed(
    either: Services, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """After the tenth the dead-letter list; a replay delivers the same message, and is audited."""
    clock = Clock()
    receiver.statuses = [500] * 10
    subscribe(either, receiver.url)
    client = some_client(either)
    tell(either, client)
    forget_reason(either)
    with delivering(either, clock):
        fail(either, clock, 10)
        [dead] = deliveries(either)
        assert (dead.state, dead.attempts) == (DeliveryState.dead, MAX_ATTEMPTS)
        assert dead.finished_at == clock.now
        clock.now += timedelta(days=30)
        time.sleep(3 * POLL)
        assert len(receiver.received) == 10
        asked_by = someone(either)
        with transaction(either.database) as session:
            replay(session, asked_by, dead.id)
        until(lambda: deliveries(either)[0].state is DeliveryState.delivered)
    assert len({request.id for request in receiver.received}) == 1
    assert f"delivery {dead.id}" in caplog.text
    assert "dead after 10 attempts" in caplog.text
    with transaction(either.database, write=False) as session:
        actions = [event.action for event in session.exec(select(AuditEvent))]
    assert actions.count("webhook_delivery.replayed") == 1


def test_waits_are_spread(services: Services, receiver: Receiver, client: Client) -> None:
    """Receivers that come back are not met by everything at once."""
    receiver.statuses = [500] * 8
    subscribe(services, receiver.url)
    tell(services, client, times=8)
    clock = Clock()
    deliverer = Deliverer(services, sender=sender(), clock=clock, poll_seconds=POLL)
    deliverer.launch()
    until(lambda: all(row.last_reason == "answered 500" for row in deliveries(services)))
    deliverer.stop()
    waits = {row.next_attempt_at - clock.now for row in deliveries(services)}
    assert len(waits) > 4
    for wait in waits:
        assert WAITS[0] * (1 - JITTER) <= wait <= WAITS[0] * (1 + JITTER)


def test_several_processes_share_the_work(either: Services, receiver: Receiver) -> None:
    """Three deliverers on one database: each message once to each endpoint."""
    subscribe(either, receiver.url)
    subscribe(either, f"{receiver.url}/other")
    tell(either, some_client(either), times=20)
    engines = [create_engine_for(url_of(either)) for _ in range(2)]
    with delivering(either):
        others = [
            Deliverer(replace(either, database=engine), sender=sender()) for engine in engines
        ]
        for other in others:
            other.launch()
        until(lambda: all(r.state is DeliveryState.delivered for r in deliveries(either)))
        for other in others:
            other.stop()
    for engine in engines:
        engine.dispose()
    counted = Counter((request.path, request.id) for request in receiver.received)
    assert len(counted) == 40
    assert set(counted.values()) == {1}


def url_of(services: Services) -> str:
    """The URL of the services' database."""
    return services.database.url.render_as_string(hide_password=False)


def test_what_a_dead_process_had_taken_up_is_delivered_by_another(
    either: Services, receiver: Receiver
) -> None:
    """A process is killed in the middle of an attempt: when its lease ends another one sends."""
    key = b"k" * 32
    either = replace(either, keyring=Keyring.holding(key))
    subscribe(either, receiver.url)
    tell(either, some_client(either))
    release = threading.Event()
    receiver.answer = lambda _: hold(release)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=deliver_in_a_process, args=(url_of(either), key))
    process.start()
    until(lambda: bool(receiver.received))
    process.kill()
    process.join()
    release.set()
    receiver.answer = None
    [delivery] = deliveries(either)
    assert (delivery.state, delivery.attempts) == (DeliveryState.pending, 1)
    assert timedelta() < delivery.next_attempt_at - utc_now() <= LEASE
    with delivering(either):
        time.sleep(5 * POLL)
        assert len(receiver.received) == 1
    with delivering(either, lambda: utc_now() + LEASE):
        until(lambda: deliveries(either)[0].state is DeliveryState.delivered)
    assert [request.id for request in receiver.received] == [receiver.received[0].id] * 2


def deliver_in_a_process(url: str, key: bytes) -> None:
    """Deliver until killed."""
    services = MinimalServices(create_engine_for(url), Keyring.holding(key))
    Deliverer(services, sender=sender(60)).launch()  # type: ignore[arg-type]
    time.sleep(600)


class MinimalServices:
    """What of the services a deliverer uses, for a process that has no more."""

    def __init__(self, database: object, keyring: Keyring) -> None:
        self.database, self.keyring = database, keyring


def test_an_attempt_whose_lease_was_lost_changes_nothing(
    services: Services, receiver: Receiver, client: Client
) -> None:
    """A process that wakes up late does not overwrite what another one wrote meanwhile."""
    release = threading.Event()
    receiver.answer = lambda _: hold(release)
    subscribe(services, receiver.url)
    tell(services, client)
    later = utc_now() + 10 * LEASE
    with delivering(services, time_limit=2 * PATIENCE):
        until(lambda: bool(receiver.received))
        with transaction(services.database) as session:
            row = session.exec(select(WebhookDelivery)).one()
            row.attempts, row.next_attempt_at = 2, later
        release.set()
    [delivery] = deliveries(services)
    assert (delivery.state, delivery.attempts) == (DeliveryState.pending, 2)
    assert (delivery.next_attempt_at, delivery.last_reason) == (later, None)


def hold(release: threading.Event) -> None:
    """Answer nothing until released, and then hang up."""
    release.wait(PATIENCE)


def test_a_receiver_that_hangs_does_not_hold_up_the_others(
    services: Services, receiver: Receiver, client: Client
) -> None:
    """It gets so many connections and no more, while the other one hears everything."""
    release = threading.Event()
    with receiving() as hanging:
        hanging.answer = lambda _: hold(release)
        subscribe(services, hanging.url)
        subscribe(services, receiver.url)
        tell(services, client, times=20)
        with delivering(services, time_limit=2 * PATIENCE):
            until(lambda: len(receiver.received) == 20)
            assert len(hanging.received) <= PARALLEL_PER_ENDPOINT
            with transaction(services.database) as session:
                for row in session.exec(select(WebhookDelivery)):
                    row.state = DeliveryState.cancelled
            release.set()


def test_nothing_more_goes_to_a_deleted_endpoint(
    services: Services, receiver: Receiver, client: Client
) -> None:
    """What was on its way is cancelled, also what was written while it was being deleted."""
    endpoint_id, _ = subscribe(services, receiver.url)
    tell(services, client, times=2)
    asked_by = someone(services)
    with transaction(services.database) as session:
        delete_endpoint(session, asked_by, endpoint_id)
        late = session.exec(select(WebhookDelivery)).first()
        assert late is not None
        late.state, late.finished_at = DeliveryState.pending, None
    with delivering(services):
        until(lambda: {row.state for row in deliveries(services)} == {DeliveryState.cancelled})
    assert receiver.received == []
    with transaction(services.database, write=False) as session:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
    assert (endpoint.secret, endpoint.previous_secret) == (None, None)


def test_both_secrets_sign_until_the_overlap_ends(
    services: Services, receiver: Receiver, client: Client
) -> None:
    """A receiver changes over in its own time; afterwards the old secret is worth nothing."""
    endpoint_id, old = subscribe(services, receiver.url)
    asked_by = someone(services)
    with transaction(services.database) as session:
        shown = rotate_secret(
            session, services.keyring, asked_by, endpoint_id, overlap=timedelta(hours=1)
        )
    tell(services, client)
    with delivering(services):
        until(lambda: len(receiver.received) == 1)
    tell(services, client)
    with delivering(services, lambda: utc_now() + timedelta(hours=1, minutes=1)):
        until(lambda: len(receiver.received) == 2)
    during, after = receiver.received
    assert signatures(during) == [signature(shown.plain, during), signature(old, during)]
    assert signatures(after) == [signature(shown.plain, after)]


def test_a_rotation_without_overlap_cuts_at_once(
    services: Services, receiver: Receiver, client: Client
) -> None:
    endpoint_id, _ = subscribe(services, receiver.url)
    asked_by = someone(services)
    with transaction(services.database) as session:
        shown = rotate_secret(session, services.keyring, asked_by, endpoint_id, overlap=timedelta())
    tell(services, client)
    with delivering(services):
        until(lambda: len(receiver.received) == 1)
    [request] = receiver.received
    assert signatures(request) == [signature(shown.plain, request)]


def test_a_secret_that_cannot_be_opened_is_a_failure_that_is_told(
    services: Services, receiver: Receiver, client: Client
) -> None:
    """A key file of another database: nothing is sent unsigned."""
    subscribe(services, receiver.url)
    tell(services, client)
    other = replace(services, keyring=Keyring.holding(b"k" * 32))
    with delivering(other):
        until(lambda: deliveries(services)[0].last_reason is not None)
    assert "can't be opened" in str(deliveries(services)[0].last_reason)
    assert receiver.received == []


def test_the_body_is_the_feeds_event(
    services: Services, receiver: Receiver, client: Client
) -> None:
    subscribe(services, receiver.url)
    tell(services, client)
    with delivering(services):
        until(lambda: len(receiver.received) == 1)
    with transaction(services.database, write=False) as session:
        event = session.exec(select(FeedEvent)).one()
    assert receiver.received[0].content == {
        "id": event.id,
        "sequence": 1,
        "type": "operation.succeeded",
        "timestamp": event.at.isoformat().replace("+00:00", "Z"),
        "data": {
            "slug": "ABC-LLC",
            "contract_reference": "DPA-2026-014",
            "operation_id": None,
        },
    }
    assert receiver.received[0].id == event.id
