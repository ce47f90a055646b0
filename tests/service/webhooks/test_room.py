"""Signed contracts that arrive while no area can be opened: they are kept, and wait for room."""

from datetime import timedelta

from sqlmodel import update

from models.base import utc_now
from models.database import transaction
from models.webhooks import WebhookConnection, WebhookEvent
from service.context import Services
from service.webhooks.processing import EventProcessor
from tests.service.http.conftest import with_settings
from tests.service.http.handworker import HandWorker
from tests.service.webhooks.conftest import Connect
from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import HUBSPOT, STANDARD, Contract


def time_passes(services: Services) -> None:
    """What was to be looked at later is due."""
    with transaction(services.database) as session:
        now = utc_now() - timedelta(seconds=1)
        session.exec(update(WebhookEvent).values(due_at=now))


def test_a_full_queue_holds_events_back_until_there_is_room(
    connected: Connect,
    services: Services,
    worker: HandWorker,
    contract: Contract,
    tool_api: FakeToolApi,
) -> None:
    """Past the limit a delivery is accepted and opens nothing; however long that takes, nobody has
    to look at it, and the tool's API keeps all its tries.
    """
    tool_api.knows(contract)
    other = Contract(legal_name=f"{contract.legal_name} B", reference=f"{contract.reference}-B")
    processor = EventProcessor(with_settings(services, queue_limit=1))
    connection = connected(HUBSPOT)
    filler = connected(STANDARD)
    filler.deliver(STANDARD.event(other))
    processor.sweep()
    assert filler.events()[0]["state"] == "opened"
    assert connection.deliver(HUBSPOT.event(contract)).is_success
    for _ in range(3):
        time_passes(services)
        processor.sweep()
        [event] = connection.events()
        assert event["state"] == "received", event
        assert event["reason"].startswith("1 operations are unfinished, and 1 is the limit.")
        assert event["reason"].endswith("It is tried again by itself.")
    assert not processor.sweep(), "it is due later"
    with transaction(services.database, write=False) as session:
        assert session.get_one(WebhookEvent, event["id"]).attempts == 0
    [first] = worker.started
    worker.finish(first)
    time_passes(services)
    EventProcessor(with_settings(services, queue_limit=1)).sweep()
    assert connection.events()[0]["state"] == "opened"
    assert len(worker.started) == 2


def test_a_sick_machine_holds_events_back(
    connected: Connect,
    services: Services,
    worker: HandWorker,
    contract: Contract,
) -> None:
    """What is refused at the door with 503 is no reason for a person to look at the contract."""
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    EventProcessor(with_settings(services, disk_floor_mb=10**9)).sweep()
    [event] = connection.events()
    assert event["state"] == "received"
    assert "MB are free" in event["reason"]
    time_passes(services)
    EventProcessor(services).sweep()
    assert connection.events()[0]["state"] == "opened"
    assert len(worker.started) == 1


def test_a_trial_says_that_it_would_wait(
    connected: Connect, services: Services, contract: Contract
) -> None:
    """SP-05: trying an event out tells what would become of it now."""
    connection = connected(STANDARD)
    with transaction(services.database, write=False) as session:
        row = session.get_one(WebhookConnection, connection.id)
    processor = EventProcessor(with_settings(services, queue_limit=0))
    outcome = processor.try_out(row, STANDARD.event(contract), None)
    assert outcome.state == "received"
    assert "0 is the limit" in str(outcome.reason)
