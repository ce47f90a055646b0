"""What becomes of events: opened, duplicate, ignored, or for a person to look at."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.audit import AuditEvent, verify_chain
from models.base import utc_now
from models.clients import Client, Signer
from models.database import transaction
from models.operations import Operation
from models.webhooks import WebhookConnection, WebhookEvent, WebhookEventState, claim_event
from service.context import Services
from service.webhooks.processing import LEASE, EventProcessor
from tests.service.http.handworker import DENIED, HandWorker
from tests.service.webhooks.conftest import Connect
from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import (
    DOCUSIGN,
    HUBSPOT,
    PANDADOC,
    STANDARD,
    TOOLS,
    ZOHO_SIGN,
    Contract,
    Tool,
)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
def test_each_tools_contract_opens_its_area(
    connected: Connect,
    processor: EventProcessor,
    worker: HandWorker,
    services: Services,
    contract: Contract,
    tool: Tool,
    tool_api: FakeToolApi,
) -> None:
    """SP-05: client, contract and signer as the tool says, in the name of the connection."""
    tool_api.knows(contract)
    connection = connected(tool)
    connection.deliver(tool.event(contract))
    processor.sweep()
    [event] = connection.events()
    assert event["state"] == "opened", event
    operation_id = event["links"]["operation"].rpartition("/")[2]
    assert worker.started == [operation_id]
    with transaction(services.database, write=False) as session:
        [client] = session.exec(select(Client)).all()
        [signer] = session.exec(select(Signer)).all()
        made = session.get_one(WebhookConnection, connection.id)
        assert (client.legal_name, client.owner_actor_id) == (contract.legal_name, made.actor_id)
        assert session.get_one(Operation, operation_id).requested_by == made.actor_id
    one_name = tool in (DOCUSIGN, ZOHO_SIGN)
    assert (signer.full_name is not None) is one_name
    parts = signer.full_name or f"{signer.first_name} {signer.last_name}"
    assert (parts, signer.email) == (contract.signer, contract.email)


@pytest.mark.parametrize(
    ("tool", "path", "value", "reason"),
    [
        (STANDARD, "type", "contract.sent", "type is not contract.signed"),
        (HUBSPOT, "0.propertyValue", "qualified", "propertyValue is not closedwon"),
        (HUBSPOT, "0.subscriptionType", "contact.creation", "subscriptionType is not"),
        (DOCUSIGN, "event", "envelope-sent", "event is not envelope-completed"),
        (PANDADOC, "0.data.status", "document.viewed", "data.status is not document.completed"),
        (ZOHO_SIGN, "notifications.operation_type", "RequestViewed", "is not RequestCompleted"),
        (ZOHO_SIGN, "requests.request_type_name", "NDA", "names another kind of contract"),
        (PANDADOC, "0.data.metadata.contract_kind", None, "says no kind of contract"),
    ],
)
def test_unrelated_events_are_kept_and_ignored_with_a_reason(
    connected: Connect,
    processor: EventProcessor,
    worker: HandWorker,
    contract: Contract,
    tool: Tool,
    path: str,
    value: Any,
    reason: str,
) -> None:
    body = tool.event(contract)
    *way, last = path.split(".")
    place = body
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    connection = connected(tool)
    connection.deliver(body)
    processor.sweep()
    [event] = connection.events(state="ignored")
    assert reason in event["reason"]
    assert worker.started == []


def test_an_event_that_came_too_late_is_ignored(
    connected: Connect, processor: EventProcessor, contract: Contract, tool_api: FakeToolApi
) -> None:
    """Out of order: HubSpot says the deal was won, and by now it is not."""
    tool_api.knows(contract, stage="closedlost")
    connection = connected(HUBSPOT)
    connection.deliver(HUBSPOT.event(contract))
    processor.sweep()
    [event] = connection.events(state="ignored")
    assert "fetched.deal.properties.dealstage is not closedwon" in event["reason"]


def test_what_is_missing_is_named_completed_and_opened(
    connected: Connect,
    processor: EventProcessor,
    admin: httpx.Client,
    services: Services,
    worker: HandWorker,
    contract: Contract,
) -> None:
    """A mapping that misses a field parks the event; a person completes it; who did is audited."""
    body = STANDARD.event(contract)
    del body["data"]["contract"]["signer"]["last_name"]
    del body["data"]["purpose"]
    connection = connected(STANDARD)
    connection.deliver(body)
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert sorted(event["missing"]) == ["contract.signer.last_name", "purpose"]
    path = event["links"]["self"]
    assert admin.post(f"{path}/replay").json()["state"] == "received"
    processor.sweep()
    unknown = admin.post(f"{path}/complete", json={"fields": {"contract.signer.nick": "A"}})
    assert unknown.json()["errors"][0]["field"] == "fields.contract.signer.nick"
    given = {"contract.signer.full_name": "Ada Lovelace", "purpose": "Validation"}
    answer = admin.post(f"{path}/complete", json={"fields": given})
    assert (answer.status_code, answer.json()["completion"]) == (202, given)
    processor.sweep()
    opened = admin.get(path).json()
    assert opened["state"] == "opened"
    assert opened["fields"]["contract.signer.full_name"] == "Ada Lovelace"
    assert "contract.signer.first_name" not in opened["fields"]
    for again in ("complete", "replay"):
        refused = admin.post(f"{path}/{again}", json={"fields": given})
        assert refused.json()["type"] == "/problems/event-settled"
        assert "operation" in refused.json()["links"]
    with transaction(services.database, write=False) as session:
        told = [event for event in session.exec(select(AuditEvent)) if "webhook" in event.action]
        assert [event.action for event in told] == [
            "webhook_connection.created",
            "webhook_event.replayed",
            "webhook_event.completed",
        ]
        # The request is theirs, so that they may not approve it.
        assert session.exec(select(Operation)).one().requested_by == told[-1].actor_id
        assert told[-1].data == {"fields": sorted(given)}
        assert verify_chain(session).ok


def test_a_gate_that_refuses_needs_attention_with_its_words(
    connected: Connect, processor: EventProcessor, contract: Contract, worker: HandWorker
) -> None:
    """SP-07: a contract that is signed tomorrow opens nothing today."""
    body = STANDARD.event(contract)
    body["data"]["contract"]["signed_on"] = (utc_now() + timedelta(days=3)).date().isoformat()
    connection = connected(STANDARD)
    connection.deliver(body)
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert event["missing"] == ["contract.signed_on"]
    assert "is in the future" in event["reason"]
    assert worker.started == []


def test_the_same_contract_by_two_tools_makes_one_client(
    connected: Connect, processor: EventProcessor, services: Services, contract: Contract
) -> None:
    """Deduplicated for ever on the contract: reference in any case, days apart, by any tool."""
    standard, docusign = connected(STANDARD), connected(DOCUSIGN)
    other_case = Contract(contract.legal_name, contract.reference.lower().replace("dpa", "Dpa"))
    standard.deliver(STANDARD.event(contract))
    processor.sweep()
    docusign.deliver(DOCUSIGN.event(other_case))
    standard.deliver(STANDARD.event(contract))
    processor.sweep()
    [twice, _once] = standard.events()
    [second] = docusign.events()
    assert (twice["state"], second["state"]) == ("duplicate", "duplicate")
    assert second["links"]["client"].startswith("/v1/clients/Client-")
    with transaction(services.database, write=False) as session:
        assert len(session.exec(select(Client)).all()) == 1
        assert len(session.exec(select(Operation)).all()) == 1


def test_a_closed_clients_old_contract_reopens_nothing(
    connected: Connect, processor: EventProcessor, services: Services, contract: Contract
) -> None:
    """A retry that outlasts the sharing itself is a duplicate too."""
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    processor.sweep()
    with transaction(services.database) as session:
        session.exec(select(Client)).one().state = "closed"  # type: ignore[assignment]  # as stored
        operation = session.exec(select(Operation)).one()
        operation.state = "succeeded"  # type: ignore[assignment]  # as stored
    connection.deliver(STANDARD.event(contract))
    processor.sweep()
    [late, _] = connection.events()
    assert late["state"] == "duplicate"
    assert "reopen it by hand" in late["reason"]


def test_one_reference_under_two_slugs_needs_attention(
    connected: Connect, processor: EventProcessor, contract: Contract, services: Services
) -> None:
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    connection.deliver(STANDARD.event(Contract("Somebody Else", contract.reference.upper())))
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert event["missing"] == ["contract.reference"]
    assert "Somebody-Else" in event["reason"]
    with transaction(services.database, write=False) as session:
        assert len(session.exec(select(Client)).all()) == 1


def test_another_contract_of_a_client_needs_attention(
    connected: Connect, processor: EventProcessor, contract: Contract
) -> None:
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    connection.deliver(STANDARD.event(Contract(contract.legal_name, "another reference")))
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert "already" in event["reason"]


def test_a_failed_opening_is_tried_again_by_the_next_delivery(
    connected: Connect,
    processor: EventProcessor,
    worker: HandWorker,
    contract: Contract,
    services: Services,
) -> None:
    """All of it was rolled back, so the contract still waits for its area."""
    worker.automatic, worker.failure = True, DENIED
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    processor.sweep()
    worker.failure = None
    connection.deliver(STANDARD.event(contract))
    processor.sweep()
    assert [event["state"] for event in connection.events()] == ["opened", "opened"]
    with transaction(services.database, write=False) as session:
        assert [client.state for client in session.exec(select(Client))] == ["open"]


def test_a_dead_process_leaves_its_event_to_another(
    connected: Connect, processor: EventProcessor, services: Services, contract: Contract
) -> None:
    """The lease ends by itself; who comes back after it writes nothing."""
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    with transaction(services.database) as session:
        [event] = session.exec(select(WebhookEvent)).all()
        assert claim_event(session, event.id, utc_now(), LEASE)
        assert not claim_event(session, event.id, utc_now(), LEASE)
    assert processor.sweep() == 0
    with transaction(services.database) as session:
        session.get_one(WebhookEvent, event.id).leased_until = utc_now() - timedelta(seconds=1)
    assert processor.sweep() == 1
    with transaction(services.database, write=False) as session:
        found = session.get_one(WebhookEvent, event.id)
        assert (found.state, found.attempts) == (WebhookEventState.opened, 2)


def test_a_fault_of_ours_parks_one_event_and_not_those_behind_it(
    connected: Connect, processor: EventProcessor, services: Services, contract: Contract
) -> None:
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(Contract("Broken One", "B-1")))
    with transaction(services.database) as session:
        session.exec(select(WebhookEvent)).one().body = "not what was kept"
    connection.deliver(STANDARD.event(contract))
    processor.sweep()
    assert sorted(event["state"] for event in _states(services)) == ["needs_attention", "opened"]


def test_what_old_events_say_is_erased_and_that_they_came_is_not(
    connected: Connect,
    processor: EventProcessor,
    services: Services,
    admin: httpx.Client,
    contract: Contract,
) -> None:
    """Tools report about people who are none of our clients."""
    connection = connected(DOCUSIGN)
    unrelated = DOCUSIGN.event(contract) | {"event": "envelope-sent"}
    waiting = DOCUSIGN.event(Contract("", "gap"))
    for body in (DOCUSIGN.event(contract), unrelated, waiting):
        connection.deliver(body)
    processor.sweep()
    assert processor.forget() == 0
    with transaction(services.database) as session:
        for event in session.exec(select(WebhookEvent)):
            event.finished_at = utc_now() - timedelta(days=91)
    assert processor.forget() == 2
    assert processor.forget() == 0
    events = {event["state"]: event["links"]["self"] for event in connection.events()}
    assert admin.get(events["needs_attention"]).json()["body"] is not None
    for state in ("opened", "ignored"):
        found = admin.get(events[state]).json()
        assert (found["body"], found["fields"], found["completion"]) == (None, None, None)
    refused = admin.post(f"{events['ignored']}/replay")
    assert "its content is erased" in refused.json()["detail"]
    assert connection.deliver(DOCUSIGN.event(contract)).json()["new"] == 0


def _states(services: Services) -> list[dict[str, str]]:
    with transaction(services.database, write=False) as session:
        return [{"state": event.state.value} for event in session.exec(select(WebhookEvent))]
