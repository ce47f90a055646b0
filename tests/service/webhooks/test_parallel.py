"""Many deliveries at once, on either database, with several processes' worth of intakes."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlmodel import select

from models.clients import Client
from models.database import transaction
from models.operations import Operation
from models.webhooks import WebhookEvent
from service.context import Services
from service.webhooks.processing import EventProcessor
from tests.service.webhooks.conftest import Connect
from tests.service.webhooks.tools import DOCUSIGN, PANDADOC, STANDARD, Contract


@pytest.fixture
def database_url(either_url: str) -> str:
    """Each kind of database in turn."""
    return either_url


def test_ten_parallel_deliveries_make_one_client(
    connected: Connect, services: Services, contract: Contract
) -> None:
    """The same body ten times, the same contract ten times, by three tools: one client."""
    docusign, pandadoc, standard = map(connected, (DOCUSIGN, PANDADOC, STANDARD))
    body = docusign.tool.event(contract)
    with ThreadPoolExecutor(10) as pool:
        same = list(pool.map(lambda _: docusign.deliver(body).json()["new"], range(10)))
        rest = [pool.submit(one.deliver, one.tool.event(contract)) for one in [standard] * 8]
        rest.append(pool.submit(pandadoc.deliver, pandadoc.tool.event(contract)))
        assert {answer.result().status_code for answer in rest} == {200}
    assert sum(same) == 1
    work(services)
    with transaction(services.database, write=False) as session:
        assert len(session.exec(select(Client)).all()) == 1
        assert len(session.exec(select(Operation)).all()) == 1
        states = sorted(event.state.value for event in session.exec(select(WebhookEvent)))
    assert states == ["duplicate"] * 9 + ["opened"]


def test_of_two_slugs_racing_for_one_reference_one_opens(
    connected: Connect, services: Services, contract: Contract
) -> None:
    """A client that is not there yet has no row to lock: the reference itself is locked."""
    standard = connected(STANDARD)
    for number in range(6):
        rival = Contract(f"Rival {number}", contract.reference)
        assert standard.deliver(STANDARD.event(rival)).status_code == 200
    work(services)
    with transaction(services.database, write=False) as session:
        assert len(session.exec(select(Client)).all()) == 1
        states = sorted(event.state.value for event in session.exec(select(WebhookEvent)))
    assert states == ["needs_attention"] * 5 + ["opened"]


def test_many_contracts_are_shared_out_and_none_is_lost(
    connected: Connect, services: Services, admin: httpx.Client, contract: Contract
) -> None:
    """Six intakes beside each other: every event is carried out once."""
    standard = connected(STANDARD)
    for number in range(12):
        body = STANDARD.event(Contract(f"{contract.legal_name} {number}", f"R-{number}"))
        standard.deliver(body)
    work(services)
    items = admin.get("/v1/webhook-events", params={"page_size": 5}).json()
    seen = [event["id"] for event in items["items"]]
    while items["next_page_token"]:
        page = {"page_size": 5, "page_token": items["next_page_token"]}
        items = admin.get("/v1/webhook-events", params=page).json()
        seen += [event["id"] for event in items["items"]]
    assert len(set(seen)) == len(seen) == 12
    with transaction(services.database, write=False) as session:
        events = session.exec(select(WebhookEvent)).all()
        assert {(event.state.value, event.attempts) for event in events} == {("opened", 1)}
        assert len(session.exec(select(Client)).all()) == 12


def work(services: Services) -> None:
    """Let six intakes work side by side until nothing is due."""
    processors = [EventProcessor(services) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        while sum(pool.map(lambda processor: processor.sweep(), processors)):
            pass
