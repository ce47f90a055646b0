"""The record through HTTP: protected, audited, never stored, gone with its key."""

import io
from typing import Any

import httpx
import pytest
from pypdf import PdfReader
from sqlmodel import select

from models.access_keys import AccessKey
from models.audit import AuditEvent
from models.database import transaction
from service.context import Services
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import DENIED, HandWorker

Request = dict[str, Any]
PDF = {"Accept": "application/pdf"}


def text_of(pdf: bytes) -> str:
    """Return the text of a PDF that the signer's name opens (SP-28)."""
    reader = PdfReader(io.BytesIO(pdf), password="Ada Lovelace")
    return "\n".join(page.extract_text() for page in reader.pages)


def downloads(services: Services) -> list[AuditEvent]:
    """Return the audited downloads."""
    with transaction(services.database, write=False) as session:
        query = select(AuditEvent).where(AuditEvent.action == "record.downloaded")
        return list(session.exec(query).all())


def test_record_is_a_protected_attachment(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """SP-15, SP-28, PB-13: a PDF that opens with the signer's name, in no cache, each download
    audited.
    """
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc)
    answer = api.get("/v1/clients/ABC-LLC/record.pdf")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    assert answer.headers["Cache-Control"] == "no-store"
    number = answer.headers["Handover-Record"]
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{number}')
    assert number in text_of(answer.content)
    reader = PdfReader(io.BytesIO(answer.content))
    assert reader.is_encrypted
    assert not reader.decrypt("")
    [event] = downloads(services)
    assert (event.object_type, event.object_id, event.source_ip) == ("record", number, "127.0.0.1")
    api.get("/v1/clients/ABC-LLC/record.pdf")
    assert len(downloads(services)) == 2


def test_open_answers_the_record_itself(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """`Accept: application/pdf` waits and answers the protected PDF; that is a download, too."""
    worker.automatic = True
    answer = api.post("/v1/clients", json=abc_llc, headers=PDF)
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/pdf")
    assert answer.headers["Location"] == "/v1/clients/ABC-LLC"
    assert "ABC LLC" in text_of(answer.content)
    assert len(downloads(services)) == 1


def test_open_needs_the_scope_for_the_record(
    address: str, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    """Without `records:read` nothing is made, and the answer names the scope."""
    with caller(address, token("clients:read", "clients:write")) as writer:
        answer = writer.post("/v1/clients", json=abc_llc, headers=PDF)
        assert (answer.status_code, answer.json()["scope"]) == (403, "records:read")
        assert writer.get("/v1/clients").json()["items"] == []


def test_open_past_the_limit_answers_202(api: httpx.Client, abc_llc: Request) -> None:
    """A record that is not ready in time is answered as 202, to be fetched later."""
    answer = api.post("/v1/clients", json=abc_llc, headers=PDF | {"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")


def test_failed_open_has_no_record(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """A failed opening answers the problem, and the record stays not ready."""
    worker.automatic, worker.failure = True, DENIED
    answer = api.post("/v1/clients", json=abc_llc, headers=PDF)
    assert (answer.status_code, answer.json()["code"]) == (502, DENIED.code)
    record = api.get("/v1/clients/ABC-LLC/record.pdf")
    assert (record.status_code, record.json()["type"]) == (409, "/problems/record-not-ready")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/pdf;q=0.5, application/json", "application/json"),
        ("application/json;q=0.5, application/pdf", "application/pdf"),
        ("application/pdf, */*;q=0.1", "application/pdf"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/pdf;q=0, */*", "application/json"),
    ],
)
def test_accept_weighs_its_media_types(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, accept: str, media_type: str
) -> None:
    """q values decide between the client and its record (RFC 9110, section 12.5.1)."""
    worker.automatic = True
    headers = {"Accept": accept, "Prefer": "wait=5"}
    answer = api.post("/v1/clients", json=abc_llc, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, media_type)


def test_other_media_types_are_406(api: httpx.Client, abc_llc: Request) -> None:
    """A caller who takes neither JSON nor PDF gets nothing made."""
    answer = api.post("/v1/clients", json=abc_llc, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["type"]) == (406, "/problems/not-acceptable")
    assert api.get("/v1/clients").json()["items"] == []


def test_record_is_not_ready_before_the_key_works(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """While the area is being opened the record answers 409."""
    api.post("/v1/clients", json=abc_llc)
    answer = api.get("/v1/clients/ABC-LLC/record.pdf")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/record-not-ready")
    assert downloads(services) == []


def test_record_goes_with_its_key(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """After closing, and where the secret was erased, the record is gone; its metadata stays."""
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc)
    with transaction(services.database) as session:
        session.exec(select(AccessKey)).one().secret = None
    erased = api.get("/v1/clients/ABC-LLC/record.pdf")
    assert (erased.status_code, erased.json()["type"]) == (410, "/problems/record-gone")
    api.delete("/v1/clients/ABC-LLC", params={"reason": "because"})
    closed = api.get("/v1/clients/ABC-LLC/record.pdf")
    assert (closed.status_code, closed.json()["type"]) == (410, "/problems/record-gone")
    [record] = api.get("/v1/clients/ABC-LLC/records").json()["items"]
    assert (record["version"], record["key_generation"]) == (1, 1)
    assert record["password_form"] == "first_last"
    assert record["key_id"].startswith("AKIA")


def test_reopen_answers_the_next_record(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Reopening with `Accept: application/pdf` answers the next record."""
    worker.automatic = True
    first = api.post("/v1/clients", json=abc_llc, headers=PDF).headers["Handover-Record"]
    api.delete("/v1/clients/ABC-LLC", params={"reason": "because"})
    answer = api.post("/v1/clients/ABC-LLC/reopen", headers=PDF)
    assert answer.status_code == 200
    assert answer.headers["Handover-Record"] > first
