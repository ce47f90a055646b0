"""`/v1/webhook-endpoints`, `/v1/webhook-deliveries` and `/v1/events` (issue 7)."""

from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.audit import verify_chain
from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.outgoing import DeliveryState, EventType, WebhookDelivery, WebhookEndpoint
from service.accounts import ensure_operator
from service.context import Services
from service.outgoing.announce import announce
from service.outgoing.schedule import MAX_ATTEMPTS
from tests.models.factories import make_client
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import HandWorker
from tests.service.outgoing.receiver import Receiver, signature, signatures

ENDPOINTS = "/v1/webhook-endpoints"


def add(admin: httpx.Client, url: str, **fields: Any) -> dict[str, Any]:
    """Add an endpoint."""
    answer = admin.post(ENDPOINTS, json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == document["links"]["self"]
    return document


def tell(services: Services, client: Client, kind: EventType = EventType.client_closed) -> None:
    """Announce something."""
    with transaction(services.database) as session:
        announce(session, kind, client)


def test_a_secret_is_shown_once_and_kept_sealed(
    admin: httpx.Client, services: Services, receiver: Receiver
) -> None:
    """PB-13: nobody reads it again, neither in an answer nor in the database."""
    made = add(admin, receiver.url, description="CRM")
    secret = made["secret"]
    assert secret.startswith("whsec_")
    seen = [
        admin.get(made["links"]["self"]).text,
        admin.get(ENDPOINTS).text,
        admin.get("/v1/audit").text,
    ]
    assert all("CRM" in text for text in seen[:2])
    assert not [text for text in seen if secret in text or 'secret":' in text]
    with transaction(services.database, write=False) as session:
        row = session.exec(select(WebhookEndpoint)).one()
    assert row.secret is not None
    assert secret.encode() not in row.secret
    assert secret not in repr(row)
    folder = services.settings.data_directory
    assert not [
        file for file in folder.glob("handover.db*") if secret.encode() in file.read_bytes()
    ]


def test_two_endpoints_have_different_secrets(admin: httpx.Client, receiver: Receiver) -> None:
    assert add(admin, receiver.url)["secret"] != add(admin, receiver.url)["secret"]


def test_each_change_is_in_the_audit_chain(
    admin: httpx.Client, services: Services, receiver: Receiver
) -> None:
    """RX-17: who added, changed and deleted an endpoint."""
    made = add(admin, receiver.url)
    admin.post(f"{made['links']['self']}/rotate-secret", json={"overlap_hours": 2})
    assert admin.delete(made["links"]["self"]).status_code == 204
    events = admin.get("/v1/audit").json()["items"]
    told = [(event["action"], event["object_id"]) for event in events]
    actions = ("created", "secret_rotated", "deleted")
    assert told == [(f"webhook_endpoint.{action}", made["id"]) for action in actions]
    assert events[1]["data"] == {"overlap_hours": 2}
    with transaction(services.database, write=False) as session:
        assert verify_chain(session).ok


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"url": "http://evil.example/"}, "url", "HANDOVER_WEBHOOK_HOSTS_ALLOWED"),
        ({"url": "http://169.254.169.254/"}, "url", "HANDOVER_WEBHOOK_HOSTS_ALLOWED"),
        ({"url": "ftp://127.0.0.1/"}, "url", "is not an http or https address"),
        ({"url": "http://a:b@127.0.0.1/"}, "url", "password"),
        ({"url": "http://127.0.0.1/" + "x" * 500}, "url", "500"),
        ({}, "url", "is required"),
        ({"url": "http://127.0.0.1/", "event_types": []}, "event_types", ""),
        ({"url": "http://127.0.0.1/", "event_types": ["all"]}, "event_types.0", ""),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, "secret", ""),
        ({"url": "http://127.0.0.1/", "description": "a\u202eb"}, "description", "U+202E"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_reason(
    admin: httpx.Client, body: dict[str, Any], field: str, reason: str
) -> None:
    answer = admin.post(ENDPOINTS, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert reason in error["reason"]


def test_a_deleted_endpoint_is_gone(admin: httpx.Client, receiver: Receiver) -> None:
    made = add(admin, receiver.url)
    address = made["links"]["self"]
    assert admin.delete(address).status_code == 204
    for answer in (
        admin.get(address),
        admin.delete(address),
        admin.post(f"{address}/test"),
        admin.post(f"{address}/rotate-secret"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert admin.get(ENDPOINTS).json()["items"] == []


@pytest.mark.parametrize("odd", ["x", "%00", "a%00b", "é", "0" * 32, "0" * 64])
def test_odd_ids_are_404(admin: httpx.Client, odd: str) -> None:
    assert admin.get(f"{ENDPOINTS}/{odd}").status_code == 404
    assert admin.post(f"/v1/webhook-deliveries/{odd}/replay").status_code == 404


def test_a_test_message_is_sent_at_once_and_signed(admin: httpx.Client, receiver: Receiver) -> None:
    made = add(admin, receiver.url)
    answer = admin.post(made["links"]["test"])
    [request] = receiver.received
    assert answer.json() == {
        "delivered": True,
        "status": 200,
        "reason": None,
        "message_id": request.id,
    }
    assert request.content["type"] == "webhook.test"
    assert signatures(request) == [signature(made["secret"], request)]
    assert admin.get("/v1/events").json()["items"] == []


def test_a_test_that_fails_says_why(admin: httpx.Client, receiver: Receiver) -> None:
    receiver.statuses = [404]
    answer = admin.post(add(admin, receiver.url)["links"]["test"])
    assert answer.status_code == 200
    assert (answer.json()["delivered"], answer.json()["status"]) == (False, 404)
    assert answer.json()["reason"] == "answered 404"


def test_a_new_secret_signs_beside_the_old_one(admin: httpx.Client, receiver: Receiver) -> None:
    """Without a body the overlap is a day."""
    made = add(admin, receiver.url)
    rotated = admin.post(f"{made['links']['self']}/rotate-secret").json()
    assert rotated["previous_secret_until"] is not None
    assert rotated["secret"] != made["secret"]
    admin.post(made["links"]["test"])
    [request] = receiver.received
    assert signatures(request) == [
        signature(rotated["secret"], request),
        signature(made["secret"], request),
    ]
    leaked = admin.post(f"{made['links']['self']}/rotate-secret", json={"overlap_hours": 0}).json()
    assert leaked["previous_secret_until"] is None
    admin.post(made["links"]["test"])
    assert signatures(receiver.received[1]) == [signature(leaked["secret"], receiver.received[1])]


def test_endpoints_are_paged(admin: httpx.Client, receiver: Receiver) -> None:
    made = [add(admin, f"{receiver.url}/{number}")["id"] for number in range(5)]
    found: list[str] = []
    token = None
    while True:
        page = admin.get(
            ENDPOINTS, params={"page_size": 2} | ({"page_token": token} if token else {})
        )
        found += [item["id"] for item in page.json()["items"]]
        token = page.json()["next_page_token"]
        if token is None:
            break
    assert found == made


def test_only_an_admin_of_all_clients_is_let_in(
    address: str, token: TokenFactory, receiver: Receiver
) -> None:
    """RX-16: an endpoint is told of every client, so a token limited to some may not add one."""
    everything = ("clients:read", "clients:write", "clients:close", "records:read")
    for bearer in (token(*everything), token("admin", slugs=["ABC-LLC"])):
        with caller(address, bearer) as limited:
            for answer in (
                limited.post(ENDPOINTS, json={"url": receiver.url}),
                limited.get(ENDPOINTS),
                limited.get(f"{ENDPOINTS}/x"),
                limited.delete(f"{ENDPOINTS}/x"),
                limited.post(f"{ENDPOINTS}/x/test"),
                limited.post(f"{ENDPOINTS}/x/rotate-secret"),
                limited.get("/v1/webhook-deliveries"),
                limited.post("/v1/webhook-deliveries/x/replay"),
            ):
                assert answer.status_code == 403, answer.request.url
                assert answer.json()["scope"] == "admin"


def test_the_feed_is_read_on_from_where_one_stopped(
    api: httpx.Client, services: Services, client: Client
) -> None:
    """RX-41: `after` a sequence, page by page, nothing twice and nothing left out."""
    for _ in range(7):
        tell(services, client)
    found: list[int] = []
    params: dict[str, Any] = {"after": 2, "page_size": 2}
    while True:
        page = api.get("/v1/events", params=params).json()
        found += [event["sequence"] for event in page["items"]]
        if page["next_page_token"] is None:
            break
        params["page_token"] = page["next_page_token"]
    assert found == [3, 4, 5, 6, 7]
    assert api.get("/v1/events", params={"after": 7}).json()["items"] == []
    [event] = api.get("/v1/events", params={"after": 6}).json()["items"]
    assert event["type"] == "client.closed"
    assert event["data"]["slug"] == "ABC-LLC"
    assert event["data"]["contract_reference"] == "DPA-2026-014"


def test_the_feed_can_be_limited_to_a_type(
    api: httpx.Client, services: Services, client: Client
) -> None:
    tell(services, client)
    tell(services, client, EventType.key_expiring)
    [event] = api.get("/v1/events", params={"type": "key.expiring"}).json()["items"]
    assert event["sequence"] == 2


@pytest.mark.parametrize("query", ["after=-1", "after=x", "type=nothing", "before=1"])
def test_wrong_questions_to_the_feed_are_refused(api: httpx.Client, query: str) -> None:
    assert api.get(f"/v1/events?{query}").status_code == 422


def test_a_limited_token_sees_only_its_clients_events(
    address: str, token: TokenFactory, services: Services, client: Client
) -> None:
    """RX-16."""
    with transaction(services.database) as session:
        other = make_client(session, ensure_operator(session), "Other-Ltd")
    tell(services, other)
    tell(services, client)
    tell(services, other)
    with caller(address, token("clients:read", slugs=["abc-llc"])) as limited:
        events = limited.get("/v1/events").json()["items"]
    assert [(event["sequence"], event["data"]["slug"]) for event in events] == [(2, "ABC-LLC")]
    with caller(address, token("clients:read", slugs=["Nobody"])) as nobody:
        assert nobody.get("/v1/events").json()["items"] == []
    with caller(address, token("records:read")) as reader:
        assert reader.get("/v1/events").status_code == 403


def test_the_dead_letter_list_and_its_replay(
    admin: httpx.Client, services: Services, client: Client, receiver: Receiver
) -> None:
    """What is dead is listed with its reason and can be sent anew; nothing else can."""
    made = add(admin, receiver.url)
    tell(services, client)
    tell(services, client)
    with transaction(services.database) as session:
        row = session.exec(select(WebhookDelivery).order_by("event_sequence")).first()
        assert row is not None
        row.state, row.attempts, row.finished_at = DeliveryState.dead, MAX_ATTEMPTS, utc_now()
        row.last_status, row.last_reason = 500, "answered 500"
    listed = admin.get("/v1/webhook-deliveries", params={"state": "dead"}).json()["items"]
    [dead] = listed
    assert (dead["attempts"], dead["last_reason"]) == (10, "answered 500")
    assert (dead["event"]["type"], dead["next_attempt_at"]) == ("client.closed", None)
    assert dead["endpoint_id"] == made["id"]
    answer = admin.post(dead["links"]["replay"])
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["attempts"]) == ("pending", 0)
    assert admin.get("/v1/webhook-deliveries", params={"state": "dead"}).json()["items"] == []
    again = admin.post(dead["links"]["replay"])
    assert (again.status_code, again.json()["type"]) == (409, "/problems/delivery-not-dead")
    assert admin.get("/v1/audit").json()["items"][-1]["action"] == "webhook_delivery.replayed"


def test_a_dead_delivery_of_a_deleted_endpoint_is_not_replayed(
    admin: httpx.Client, services: Services, client: Client, receiver: Receiver
) -> None:
    made = add(admin, receiver.url)
    tell(services, client)
    with transaction(services.database) as session:
        session.exec(select(WebhookDelivery)).one().state = DeliveryState.dead
    admin.delete(made["links"]["self"])
    [dead] = admin.get("/v1/webhook-deliveries").json()["items"]
    assert admin.post(dead["links"]["replay"]).status_code == 409


def test_deliveries_are_paged_and_filtered(
    admin: httpx.Client, services: Services, client: Client, receiver: Receiver
) -> None:
    first, second = add(admin, receiver.url), add(admin, f"{receiver.url}/b")
    for _ in range(3):
        tell(services, client)
    found: list[str] = []
    params: dict[str, Any] = {"endpoint_id": second["id"], "page_size": 2}
    while True:
        page = admin.get("/v1/webhook-deliveries", params=params).json()
        found += [item["id"] for item in page["items"]]
        assert {item["endpoint_id"] for item in page["items"]} == {second["id"]}
        if page["next_page_token"] is None:
            break
        params["page_token"] = page["next_page_token"]
    assert len(set(found)) == len(found) == 3
    everything = admin.get(first["links"]["deliveries"]).json()["items"]
    assert len(everything) == 3
    wrong = {"page_token": page["next_page_token"] or "AAAA", "state": "dead"}
    assert admin.get("/v1/webhook-deliveries", params=wrong).status_code == 400


def test_a_new_version_of_a_record_is_announced(
    api: httpx.Client, worker: HandWorker, abc_llc: dict[str, Any]
) -> None:
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc, headers={"Prefer": "wait=5"})
    etag = api.get("/v1/clients/ABC-LLC").headers["ETag"]
    change = {"purpose": "Another study"}
    api.patch("/v1/clients/ABC-LLC", json=change, headers={"If-Match": etag})
    [event] = api.get("/v1/events", params={"type": "record.ready"}).json()["items"]
    assert event["data"]["version"] == 2
    assert event["data"]["record"].startswith("T-050-003-")
