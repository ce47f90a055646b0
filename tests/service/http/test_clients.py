"""Opening, reading, closing and reopening areas through HTTP."""

from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import AuditEvent
from models.clients import Client, Contract, Signer
from models.database import transaction
from models.operations import Operation
from service.context import Services
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import DENIED, HandWorker

Request = dict[str, Any]


def rows(services: Services, table: type[Any]) -> list[Any]:
    """Return all rows of a table."""
    with transaction(services.database, write=False) as session:
        return list(session.exec(select(table)).all())


def opened(api: httpx.Client, worker: HandWorker, request: Request) -> httpx.Response:
    """Open the area with a worker that works at once, and return the answer."""
    worker.automatic = True
    answer = api.post("/v1/clients", json=request, headers={"Prefer": "wait=5"})
    assert answer.status_code == 201, answer.text
    return answer


def test_open_answers_202_and_the_operation(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """The operation is written with all that belongs to it before the worker hears of it
    (SP-01).
    """
    answer = api.post("/v1/clients", json=abc_llc)
    operation = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/operations/{operation['id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (operation["kind"], operation["state"], operation["client"]) == (
        "open",
        "pending",
        "ABC-LLC",
    )
    assert worker.started == [operation["id"]]
    [client], [contract], [signer] = (rows(services, t) for t in (Client, Contract, Signer))
    assert (client.legal_name, client.prefix, client.user_name) == (
        "ABC LLC",
        "ABC-LLC/",
        "ABC-LLC",
    )
    assert client.purpose == abc_llc["purpose"]
    assert (contract.kind, contract.our_role, contract.current) == ("dpa", "processor", True)
    assert (signer.first_name, signer.last_name) == ("Ada", "Lovelace")
    [key] = rows(services, AccessKey)
    assert (key.generation, key.access_key_id, key.status) == (1, None, AccessKeyStatus.active)


def test_open_is_audited_in_its_transaction(
    api: httpx.Client, services: Services, abc_llc: Request
) -> None:
    """RX-17: who, what, on what, from where; ids only. SP-11: the requester owns the client."""
    answer = api.post("/v1/clients", json=abc_llc, headers={"X-Request-Id": "0123456789abcdef"})
    [client], [event] = rows(services, Client), rows(services, AuditEvent)
    assert (event.action, event.object_id) == ("client.open_requested", client.id)
    assert event.actor_id == client.owner_actor_id
    assert event.source_ip == "127.0.0.1"
    assert event.request_id == "0123456789abcdef" == answer.headers["X-Request-Id"]
    assert event.data["operation_id"] == answer.json()["id"]
    assert "ABC" not in str(event.model_dump())
    assert "Lovelace" not in str(event.model_dump())


def test_open_waits_for_the_client(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """`Prefer: wait` answers 201 with the client, its location and entity tag."""
    answer = opened(api, worker, abc_llc)
    client = answer.json()
    assert answer.headers["Location"] == "/v1/clients/ABC-LLC"
    assert answer.headers["Preference-Applied"] == "wait=5"
    assert answer.headers["ETag"] == api.get("/v1/clients/ABC-LLC").headers["ETag"]
    assert (client["slug"], client["state"]) == ("ABC-LLC", "open")
    assert client["area"]["upload_path"] == "ABC-LLC/images/"
    assert client["keys"][0]["key_id"].startswith("AKIA")
    assert client["contract"]["signer"]["last_name"] == "Lovelace"


def test_open_past_the_wait_answers_202(api: httpx.Client, abc_llc: Request) -> None:
    """An operation that takes longer than the caller waits is not lost."""
    answer = api.post("/v1/clients", json=abc_llc, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_wait_is_bounded_by_the_service(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """The caller's wait is cut to the service's limit, and the answer says so (RFC 7240)."""
    worker.automatic = True
    answer = api.post("/v1/clients", json=abc_llc, headers={"Prefer": 'foo, wait="999"'})
    assert answer.headers["Preference-Applied"] == "wait=5"


def test_failed_open_is_a_problem_for_who_waits(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """A caller who waits learns the AWS code, what was rolled back and what to do next."""
    worker.automatic, worker.failure = True, DENIED
    answer = api.post("/v1/clients", json=abc_llc, headers={"Prefer": "wait=5"})
    problem = answer.json()
    assert answer.status_code == 502
    assert problem["type"] == "/problems/operation-failed"
    assert (problem["code"], problem["next_step"]) == (DENIED.code, DENIED.next_step)
    assert problem["rolled_back"] == list(DENIED.rolled_back)
    assert api.get(problem["links"]["operation"]).json()["failure"]["code"] == DENIED.code


def test_the_same_request_works_after_a_failure(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """After a rolled-back opening the same request opens the area, with the next key generation."""
    worker.automatic, worker.failure = True, DENIED
    key = {"Idempotency-Key": "once", "Prefer": "wait=5"}
    assert api.post("/v1/clients", json=abc_llc, headers=key).status_code == 502
    worker.failure = None
    answer = api.post("/v1/clients", json=abc_llc, headers=key)
    assert answer.status_code == 201
    keys = {k["generation"]: k["status"] for k in answer.json()["keys"]}
    assert keys == {1: "deleted", 2: "active"}
    assert len(rows(services, Client)) == 1
    assert [c.current for c in rows(services, Contract)].count(True) == 1


def test_open_client_is_a_conflict_with_links(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """A client that is open, or being opened, answers 409 with links to it and its operation."""
    operation = api.post("/v1/clients", json=abc_llc).json()
    abc_llc["legal_name"] = "abc  llc"
    answer = api.post("/v1/clients", json=abc_llc)
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/client-exists"
    assert answer.json()["links"] == {
        "client": "/v1/clients/ABC-LLC",
        "operation": operation["links"]["self"],
    }


@pytest.mark.parametrize("close", [False, True])
def test_slug_stays_with_its_legal_entity(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, close: bool
) -> None:
    """A slug, whatever its case, belongs to its legal entity for ever, also after closing
    (SP-17).
    """
    opened(api, worker, abc_llc)
    if close:
        api.delete("/v1/clients/ABC-LLC", params={"reason": "contract ended"})
    other = abc_llc | {"legal_name": "Another Company", "slug": "abc-llc"}
    answer = api.post("/v1/clients", json=other)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "/problems/slug-taken"
    assert (problem["requested_slug"], problem["taken_slug"]) == ("abc-llc", "ABC-LLC")
    assert "ABC LLC" not in answer.text


def test_closed_client_points_to_reopening(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Opening what is closed answers 409 and says how to reopen it."""
    opened(api, worker, abc_llc)
    api.delete("/v1/clients/ABC-LLC", params={"reason": "contract ended"})
    answer = api.post("/v1/clients", json=abc_llc)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/client-closed")
    assert answer.json()["links"]["reopen"] == "/v1/clients/ABC-LLC/reopen"


def test_read_honours_etags(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """`If-None-Match` answers 304 until anything in the document changes; any case of the slug
    works.
    """
    etag = opened(api, worker, abc_llc).headers["ETag"]
    same = api.get("/v1/clients/abc-llc", headers={"If-None-Match": f'"x", W/{etag}'})
    assert (same.status_code, same.content) == (304, b"")
    api.delete("/v1/clients/ABC-LLC", params={"reason": "contract ended"})
    changed = api.get("/v1/clients/ABC-LLC", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


def test_no_answer_holds_the_secret(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """PB-13: the secret is in the record only, never in a JSON answer."""
    answers = [opened(api, worker, abc_llc)]
    operation = api.get("/v1/operations").json()["items"][0]["id"]
    for address in (
        "/v1/clients",
        "/v1/clients/ABC-LLC",
        "/v1/clients/ABC-LLC/records",
        "/v1/clients/ABC-LLC/audit",
        f"/v1/operations/{operation}/events",
    ):
        answers.append(api.get(address))
    assert {answer.status_code for answer in answers} == {200, 201}
    assert not any(worker.secrets[0] in answer.text for answer in answers)


def test_close_takes_the_key_and_leaves_the_objects(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """A closed client still answers, with the objects and bytes that remain."""
    opened(api, worker, abc_llc)
    answer = api.delete(
        "/v1/clients/ABC-LLC", params={"reason": "Contract ended"}, headers={"Prefer": "wait=5"}
    )
    assert answer.status_code == 200
    client = answer.json()
    assert client["state"] == "closed"
    assert (client["remaining"]["objects"], client["remaining"]["bytes"]) == (2, 2048)
    assert client["keys"][0]["status"] == "deleted"
    assert rows(services, Operation)[-1].reason == "Contract ended"
    actions = [event.action for event in rows(services, AuditEvent)]
    assert "client.close_requested" in actions


def test_close_says_why_it_cannot(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """Closing while opening answers 409 with the operation; closing what is closed answers 409."""
    reason = {"reason": "contract ended"}
    operation = api.post("/v1/clients", json=abc_llc).json()
    running = api.delete("/v1/clients/ABC-LLC", params=reason)
    assert (running.status_code, running.json()["type"]) == (409, "/problems/operation-in-progress")
    assert running.json()["links"]["operation"] == operation["links"]["self"]
    worker.finish(operation["id"])
    worker.automatic = True
    assert api.delete("/v1/clients/ABC-LLC", params=reason).status_code == 202
    closed = api.delete("/v1/clients/ABC-LLC", params=reason)
    assert (closed.status_code, closed.json()["type"]) == (409, "/problems/client-closed")


@pytest.mark.parametrize("reason", [None, "", "ab", "x" * 501, "because\u202e"])
def test_close_needs_a_reason(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, reason: str | None
) -> None:
    """The reason is mandatory and says something."""
    opened(api, worker, abc_llc)
    answer = api.delete("/v1/clients/ABC-LLC", params={} if reason is None else {"reason": reason})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "reason"


def test_changes_honour_if_match(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """`If-Match` with an entity tag that is no longer current answers 412 and starts nothing."""
    etag = opened(api, worker, abc_llc).headers["ETag"]
    reason = {"reason": "contract ended"}
    stale = api.delete("/v1/clients/ABC-LLC", params=reason, headers={"If-Match": '"stale"'})
    assert (stale.status_code, stale.json()["type"]) == (412, "/problems/precondition-failed")
    fresh = api.delete("/v1/clients/ABC-LLC", params=reason, headers={"If-Match": etag})
    assert fresh.status_code == 202


def test_reopen_gives_the_next_key_and_record(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Reopening keeps the slug, says what still lies there, and makes the next key and record
    (SP-15).
    """
    opened(api, worker, abc_llc)
    too_early = api.post("/v1/clients/ABC-LLC/reopen")
    assert (too_early.status_code, too_early.json()["type"]) == (409, "/problems/client-not-closed")
    api.delete("/v1/clients/ABC-LLC", params={"reason": "contract ended"})
    worker.automatic = False
    answer = api.post("/v1/clients/ABC-LLC/reopen", json={"purpose": "A second study"})
    assert answer.status_code == 202
    assert answer.json()["remaining"]["objects"] == 2
    worker.finish(answer.json()["id"])
    client = api.get("/v1/clients/ABC-LLC").json()
    assert (client["state"], client["purpose"]) == ("open", "A second study")
    assert [k["generation"] for k in client["keys"] if k["status"] == "active"] == [2]
    assert len({record["number"] for record in client["records"]}) == 2
    assert client["profile"] == "hardened"


def test_reopen_checks_the_gates_again(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """A contract that ended meanwhile does not permit reopening (SP-07); a new one does."""
    opened(api, worker, abc_llc)
    api.delete("/v1/clients/ABC-LLC", params={"reason": "contract ended"})
    with transaction(services.database) as session:
        contract = session.exec(select(Contract)).one()
        contract.ends_on = contract.signed_on
    refused = api.post("/v1/clients/ABC-LLC/reopen", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/contract-ended")
    renewed = abc_llc["contract"] | {"reference": "DPA-2026-015"}
    answer = api.post("/v1/clients/ABC-LLC/reopen", json={"contract": renewed})
    assert answer.status_code == 202
    assert api.get("/v1/clients/ABC-LLC").json()["contract"]["reference"] == "DPA-2026-015"


def test_list_filters_and_pages(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """Filters by state, part of the name, key id and contract reference; pages without gaps or
    repeats.
    """
    worker.automatic = True
    for number in range(5):
        contract = abc_llc["contract"] | {"reference": f"DPA-{number}"}
        request = abc_llc | {"legal_name": f"Clínica Peña {number}", "contract": contract}
        assert api.post("/v1/clients", json=request).status_code == 202
    api.delete("/v1/clients/Clinica-Pena-3", params={"reason": "contract ended"})

    def slugs(**filters: Any) -> list[str]:
        answer = api.get("/v1/clients", params=filters)
        assert answer.status_code == 200, answer.text
        return [item["slug"] for item in answer.json()["items"]]

    assert slugs(name="CLÍNICA PEÑA 1") == ["Clinica-Pena-1"]
    assert slugs(state="closed") == ["Clinica-Pena-3"]
    assert slugs(contract_reference="dpa-2") == ["Clinica-Pena-2"]
    key_id = api.get("/v1/clients/Clinica-Pena-4").json()["keys"][0]["key_id"]
    assert slugs(key_id=key_id) == ["Clinica-Pena-4"]
    assert slugs(name="100%") == []
    found, page_token = [], None
    while True:
        page = api.get("/v1/clients", params={"page_size": 2} | (page_token or {})).json()
        found += [item["slug"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        page_token = {"page_token": page["next_page_token"]}
    assert found == [f"Clinica-Pena-{number}" for number in range(5)]


def test_page_tokens_are_opaque_and_bound(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """A token that was altered, made up or given for other filters answers 400."""
    worker.automatic = True
    for number in range(3):
        api.post("/v1/clients", json=abc_llc | {"legal_name": f"Client {number}"})
    genuine = api.get("/v1/clients", params={"page_size": 1}).json()["next_page_token"]
    assert "Client" not in genuine
    assert "client" not in genuine
    altered = genuine[:-2] + ("A" if genuine[-2] != "A" else "B") + genuine[-1]
    for page_token, more in (
        (altered, {}),
        ("bm90LW1pbmU", {}),
        ("ñ", {}),
        (genuine, {"state": "open"}),
    ):
        answer = api.get("/v1/clients", params={"page_token": page_token} | more)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-page-token")


def test_unknown_filters_are_refused(api: httpx.Client) -> None:
    """A misspelt filter is not silently ignored."""
    answer = api.get("/v1/clients", params={"stat": "open"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "stat"


@pytest.mark.parametrize(
    "slug", ["Nobody", "%00", "a%2F..%2Fb", "..", "*", "${aws:username}", "ñ", "x" * 2000]
)
def test_unknown_slugs_are_404(api: httpx.Client, slug: str) -> None:
    """Whatever stands in the path, the answer is a 404 problem and no crash."""
    for method, address in (
        ("GET", f"/v1/clients/{slug}"),
        ("GET", f"/v1/clients/{slug}/record.pdf"),
        ("POST", f"/v1/clients/{slug}/reopen"),
        ("DELETE", f"/v1/clients/{slug}?reason=because"),
    ):
        answer = api.request(method, address)
        assert answer.status_code in (404, 405), (method, address, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_out_of_reach_looks_like_404(
    address: str, api: httpx.Client, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    """A token limited to other slugs sees neither the client nor its operation, and lists
    neither.
    """
    opened(api, worker, abc_llc)
    operation = api.get("/v1/operations").json()["items"][0]["id"]
    scopes = ("clients:read", "clients:write", "clients:close", "records:read")
    with caller(address, token(*scopes, slugs=["Other"])) as stranger:
        for method, path in (
            ("GET", "/v1/clients/ABC-LLC"),
            ("GET", "/v1/clients/ABC-LLC/record.pdf"),
            ("GET", "/v1/clients/ABC-LLC/records"),
            ("GET", "/v1/clients/ABC-LLC/audit"),
            ("GET", "/v1/clients/ABC-LLC/preview?of=open"),
            ("POST", "/v1/clients/ABC-LLC/refresh"),
            ("POST", "/v1/clients/ABC-LLC/reopen"),
            ("DELETE", "/v1/clients/ABC-LLC?reason=because"),
            ("GET", f"/v1/operations/{operation}"),
            ("GET", f"/v1/operations/{operation}/events"),
        ):
            seen, unknown = stranger.request(method, path), path.replace("ABC-LLC", "Nobody")
            assert seen.status_code == 404, path
            nobody = stranger.request(method, unknown.replace(operation, "0" * 32))
            assert seen.json() | {"instance": ""} == nobody.json() | {"instance": ""}
        assert stranger.get("/v1/clients").json()["items"] == []
        assert stranger.get("/v1/operations").json()["items"] == []
        answer = stranger.post("/v1/clients", json=abc_llc)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/slug-out-of-reach")
    with caller(address, token("clients:read", slugs=["abc-llc"])) as owner:
        assert owner.get("/v1/clients/ABC-LLC").status_code == 200
        assert [c["slug"] for c in owner.get("/v1/clients").json()["items"]] == ["ABC-LLC"]
