"""The audit chain through HTTP (RX-17)."""

import itertools
from typing import Any

import httpx
from sqlalchemy import text

from models.database import transaction
from service.context import Services
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]


def test_chain_tells_what_was_done(
    admin: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Every write and download is in the chain, whose hashes link; ids only, page by page."""
    worker.automatic = True
    admin.post("/v1/clients", json=abc_llc)
    admin.get("/v1/clients/ABC-LLC/record.pdf")
    admin.delete("/v1/clients/ABC-LLC", params={"reason": "because"})
    admin.post("/v1/clients/ABC-LLC/reopen")
    admin.post("/v1/clients", json=abc_llc | {"legal_name": "Another Company"})
    events, page_token = [], None
    while True:
        more: Request = {"page_token": page_token} if page_token else {}
        page = admin.get("/v1/audit", params={"page_size": 2} | more).json()
        events += page["items"]
        page_token = page["next_page_token"]
        if page_token is None:
            break
    assert [event["action"] for event in events] == [
        "client.open_requested",
        "record.downloaded",
        "client.close_requested",
        "client.reopen_requested",
        "client.open_requested",
    ]
    assert all(b["previous_hash"] == a["hash"] for a, b in itertools.pairwise(events))
    assert "because" not in str(events)
    of_client = admin.get("/v1/clients/ABC-LLC/audit").json()["items"]
    assert of_client == events[:4]
    assert admin.get("/v1/audit/verify").json() == {
        "ok": True,
        "events": 5,
        "first_bad_sequence": None,
        "head_hash": events[-1]["hash"],
    }


def test_tampering_is_found(
    admin: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """An event changed behind the service's back shows where the chain breaks."""
    for number in range(3):
        admin.post("/v1/clients", json=abc_llc | {"legal_name": f"Client {number}"})
    with transaction(services.database) as session:
        find = text(
            "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='audit_events'"
        )
        for (name,) in session.connection().execute(find).all():
            session.connection().execute(text(f"DROP TRIGGER {name}"))
        change = (
            "UPDATE audit_events SET actor_id = actor_id, source_ip = '10.0.0.1' WHERE sequence = 2"
        )
        session.connection().execute(text(change))
    report = admin.get("/v1/audit/verify").json()
    assert (report["ok"], report["first_bad_sequence"]) == (False, 2)


def test_page_tokens_of_one_client_do_not_open_another(
    admin: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """A page token is bound to its list."""
    worker.automatic = True
    admin.post("/v1/clients", json=abc_llc)
    admin.get("/v1/clients/ABC-LLC/record.pdf")
    page = admin.get("/v1/clients/ABC-LLC/audit", params={"page_size": 1}).json()
    answer = admin.get("/v1/audit", params={"page_token": page["next_page_token"]})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-page-token")
