"""Asking the tool's API: with its credential, at its address, within limits, again when it is
busy.
"""

import json
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.webhooks import WebhookEvent, claim_event
from service.context import Services
from service.webhooks.fetching import usable_api_url
from service.webhooks.processing import FETCH_DELAYS, LEASE, EventProcessor
from tests.service.http.conftest import with_settings
from tests.service.webhooks.conftest import Connect
from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import HUBSPOT, PIPEDRIVE, Contract
from tests.waiting import until


def hurry(services: Services) -> None:
    """Let the time pass that an event waits."""
    with transaction(services.database) as session:
        for event in session.exec(select(WebhookEvent)):
            event.due_at = utc_now() - timedelta(seconds=1)


def test_hubspot_is_asked_for_what_the_mapping_reads(
    connected: Connect, processor: EventProcessor, contract: Contract, tool_api: FakeToolApi
) -> None:
    """Deal, then company and contact; the primary company of several."""
    tool_api.knows(contract)
    connection = connected(HUBSPOT)
    connection.deliver(HUBSPOT.event(contract))
    processor.sweep()
    deal, company, contact = tool_api.asked
    assert deal.startswith("/crm/v3/objects/deals/9001?associations=companies")
    assert "contract_reference" in deal
    assert company == "/crm/v3/objects/companies/7001?properties=country%2Chs_country_code%2Cname"
    assert contact.startswith("/crm/v3/objects/contacts/5001?properties=email")
    [event] = connection.events()
    assert event["state"] == "opened", event


@pytest.mark.parametrize("contacts", [0, 3])
def test_who_signed_is_not_guessed_among_contacts(
    connected: Connect,
    processor: EventProcessor,
    admin: httpx.Client,
    contract: Contract,
    tool_api: FakeToolApi,
    contacts: int,
) -> None:
    tool_api.knows(contract, contacts=contacts)
    connection = connected(HUBSPOT)
    connection.deliver(HUBSPOT.event(contract))
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert set(event["missing"]) == {"contract.signer.email", "contract.signer.full_name"}
    assert ("names no contact" if contacts == 0 else "There are 3 of contact") in event["reason"]
    given = {"contract.signer.full_name": "Ada Lovelace", "contract.signer.email": "a@abc.example"}
    admin.post(f"{event['links']['self']}/complete", json={"fields": given})
    processor.sweep()
    assert connection.events()[0]["state"] == "opened"


def test_a_busy_api_is_asked_again_later(
    connected: Connect,
    processor: EventProcessor,
    services: Services,
    contract: Contract,
    tool_api: FakeToolApi,
) -> None:
    tool_api.knows(contract)
    tool_api.refusals = [503, 429, 500]
    connection = connected(PIPEDRIVE)
    connection.deliver(PIPEDRIVE.event(contract))
    for status in (503, 429, 500):
        processor.sweep()
        [event] = connection.events(state="received")
        assert f"answered {status} for the organization" in event["reason"]
        assert processor.sweep() == 0
        hurry(services)
    processor.sweep()
    assert connection.events()[0]["state"] == "opened"


def test_an_api_that_stays_away_is_told_to_a_person(
    connected: Connect,
    processor: EventProcessor,
    services: Services,
    admin: httpx.Client,
    contract: Contract,
    tool_api: FakeToolApi,
) -> None:
    """Nobody listens: about three hours of tries, then attention, and a replay begins anew."""
    connection = connected(HUBSPOT, api_url="http://127.0.0.1:9")
    connection.deliver(HUBSPOT.event(contract))
    for _ in range(len(FETCH_DELAYS) + 1):
        hurry(services)
        processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert "did not answer for the deal (ConnectError); given up after 7 tries" in event["reason"]
    tool_api.knows(contract)
    change = {"api_url": tool_api.url, "credential": "pat-of-the-test"}
    admin.patch(f"/v1/webhook-connections/{connection.id}", json=change).raise_for_status()
    admin.post(f"{event['links']['self']}/replay").raise_for_status()
    processor.sweep()
    assert connection.events()[0]["state"] == "opened"


def test_an_api_that_is_too_slow_is_left(
    connected: Connect,
    processor: EventProcessor,
    contract: Contract,
    tool_api: FakeToolApi,
    services: Services,
) -> None:
    tool_api.slow = True
    processor = EventProcessor(with_settings(services, webhook_fetch_seconds=1.0))
    connection = connected(PIPEDRIVE)
    connection.deliver(PIPEDRIVE.event(contract))
    processor.sweep()
    [event] = connection.events(state="received")
    assert "ReadTimeout" in event["reason"]


def test_who_comes_back_after_its_lease_writes_nothing(
    connected: Connect,
    processor: EventProcessor,
    services: Services,
    contract: Contract,
    tool_api: FakeToolApi,
) -> None:
    """A process that was slow finds its event with another one, and leaves it alone."""
    tool_api.knows(contract)
    tool_api.slow = True
    connection = connected(PIPEDRIVE)
    connection.deliver(PIPEDRIVE.event(contract))
    slow = threading.Thread(target=processor.sweep)
    slow.start()
    until(lambda: tool_api.asked)
    with transaction(services.database) as session:
        [held] = session.exec(select(WebhookEvent)).all()
        assert claim_event(session, held.id, utc_now() + 2 * LEASE, LEASE)
    tool_api.delay.set()
    slow.join()
    [event] = connection.events()
    assert (event["state"], event["attempts"]) == ("processing", 2)
    with transaction(services.database, write=False) as session:
        assert session.exec(select(Client)).all() == []


def test_a_refusal_is_told_with_what_to_look_at_and_without_the_credential(
    connected: Connect, processor: EventProcessor, contract: Contract, tool_api: FakeToolApi
) -> None:
    tool_api.knows(contract)
    connection = connected(HUBSPOT, credential="a wrong credential")
    connection.deliver(HUBSPOT.event(contract))
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert "answered 401 for the deal; check the connection's api_url and cred" in event["reason"]
    assert "a wrong credential" not in json.dumps(event)


def test_redirects_are_not_followed(
    connected: Connect, processor: EventProcessor, contract: Contract, tool_api: FakeToolApi
) -> None:
    """The credential goes to the configured address and nowhere else."""
    tool_api.redirect_to = f"{tool_api.url}/elsewhere"
    connection = connected(PIPEDRIVE)
    connection.deliver(PIPEDRIVE.event(contract))
    processor.sweep()
    assert len(tool_api.asked) == 1
    [event] = connection.events(state="needs_attention")
    assert "answered 302" in event["reason"]


@pytest.mark.parametrize("found", ["../../../admin", "1/../2", "1?x=y", "", True, {"a": 1}, 1.5])
def test_an_id_cannot_leave_its_place_in_the_address(
    connected: Connect,
    processor: EventProcessor,
    contract: Contract,
    tool_api: FakeToolApi,
    found: Any,
) -> None:
    """Even a signed event chooses no other address."""
    tool_api.knows(contract)
    connection = connected(PIPEDRIVE)
    body = PIPEDRIVE.event(contract)
    body["data"]["org_id"] = found
    connection.deliver(body)
    processor.sweep()
    assert [path for path in tool_api.asked if "organizations" in path] == []
    [event] = connection.events(state="needs_attention")
    assert "The event names no organization." in event["reason"]


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("https://api.hubapi.com", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://api.hubapi.com", False),
        ("http://169.254.169.254/latest", False),
        ("https://user:pass@api.hubapi.com", False),
        ("https://api.hubapi.com/?x=1", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("nonsense", False),
        ("http://127.0.0.1.evil.example", False),
    ],
)
def test_an_api_is_asked_over_https_or_on_loopback(url: str, usable: bool) -> None:
    assert usable_api_url(url) is usable
