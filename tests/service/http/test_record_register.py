"""What is known of the records there have been: number, version, hash, downloads."""

import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pypdf import PdfReader
from sqlmodel import select

from models.audit import AuditEvent
from models.database import transaction
from models.records import Record
from pdf import attachments, default_fonts, fingerprint, password_rule
from service.context import Services
from service.freezing import Endpoint
from service.records import RecordOffice
from service.settings import LocalSettings, Settings
from tests.service.http.conftest import Stage, TokenFactory, caller
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]
CLIENT = "/v1/clients/ABC-LLC"
SIGNER = "Ada Lovelace"


@pytest.fixture
def opened(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> Request:
    """An open client, as its document says."""
    worker.automatic = True
    client: Request = api.post("/v1/clients", json=abc_llc, headers={"Prefer": "wait=5"}).json()
    return client


def events(services: Services, action: str) -> list[AuditEvent]:
    """Return the audit events of this action."""
    with transaction(services.database, write=False) as session:
        return list(session.exec(select(AuditEvent).where(AuditEvent.action == action)).all())


def text_of(pdf: bytes) -> str:
    """Return the text of a PDF that the signer's name opens."""
    reader = PdfReader(io.BytesIO(pdf), password=SIGNER)
    return "\n".join(page.extract_text() for page in reader.pages)


def test_a_version_has_the_hash_of_what_was_issued_first(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """SP-15, RX-17: none before the first issue; then that of each download, though their bytes
    differ.
    """
    [before] = api.get(f"{CLIENT}/records").json()["items"]
    assert (before["sha256"], before["downloads"]) == (None, {"count": 0, "last_at": None})
    one, two = (api.get(f"{CLIENT}/record.pdf").content for _ in range(2))
    assert one != two
    [record] = api.get(f"{CLIENT}/records").json()["items"]
    assert record["sha256"] == fingerprint(one, SIGNER) == fingerprint(two, SIGNER)
    assert record["downloads"]["count"] == 2
    assert [e.data["sha256"] for e in events(services, "record.downloaded")] == [
        record["sha256"],
        record["sha256"],
    ]
    assert record["downloads"]["last_at"]
    assert events(services, "record.differs") == []


def test_the_register_outlives_the_secret(api: httpx.Client, opened: Request) -> None:
    """SP-15: years later the register says which key it was, who issued it and under which
    template.
    """
    api.get(f"{CLIENT}/record.pdf")
    number = opened["records"][0]["number"]
    before = api.get(f"/v1/records/{number}").json()["items"]
    api.delete(CLIENT, params={"reason": "contract ended"})
    assert api.get(f"{CLIENT}/record.pdf").status_code == 410
    after = api.get(f"/v1/records/{number}").json()["items"]
    assert after == before
    assert after[0]["key_id"] == opened["keys"][0]["key_id"]
    assert (after[0]["template_version"], after[0]["draft"]) == ("1", True)
    assert after[0]["issued_by"] == opened["owner"]


def test_a_key_has_its_own_number(api: httpx.Client, opened: Request) -> None:
    """SP-15: a new key makes the next number, at version 1."""
    api.delete(CLIENT, params={"reason": "a pause"})
    api.post(f"{CLIENT}/reopen")
    newer, older = api.get(f"{CLIENT}/records").json()["items"]
    assert (newer["version"], older["version"]) == (1, 1)
    assert newer["number"] > older["number"]
    [alone] = api.get(f"/v1/records/{older['number']}").json()["items"]
    assert alone["key_generation"] == 1


@pytest.mark.parametrize(
    "number", ["T-050-003-2026-9999", "nothing", "%00", "T-050-003-2026-0001%0a", "é"]
)
def test_an_unknown_number_is_404(api: httpx.Client, opened: Request, number: str) -> None:
    answer = api.get(f"/v1/records/{number}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_anothers_record_looks_unknown(
    api: httpx.Client, address: str, token: TokenFactory, opened: Request
) -> None:
    """PB-16: 404 out of reach, word for word as for a number that does not exist."""
    number = opened["records"][0]["number"]
    with caller(address, token("clients:read", slugs=["Other"])) as other:
        answers = [other.get(f"/v1/records/{n}") for n in (number, "T-050-003-2026-9999")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]


def test_the_form_of_the_password_is_told_never_its_value(
    api: httpx.Client, opened: Request
) -> None:
    """SP-28, PB-13: with each PDF and in the client's documents."""
    pdf = api.get(f"{CLIENT}/record.pdf")
    assert pdf.headers["Handover-Password-Rule"] == password_rule("en")
    assert pdf.headers["Handover-Password-Rule"].isascii()
    client = api.get(CLIENT).json()
    assert client["records"][0]["password_rule"] == password_rule("en")
    [record] = api.get(f"{CLIENT}/records").json()["items"]
    assert record["password_rule"] == password_rule("en")
    assert "Lovelace" not in json.dumps(record) + str(pdf.headers)


def test_the_form_is_told_in_the_records_language(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """The rule of a Spanish record is Spanish; the header's stays English, as headers are ASCII."""
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc | {"language": "es"})
    [record] = api.get(f"{CLIENT}/records").json()["items"]
    assert record["password_rule"] == password_rule("es") != password_rule("en")
    pdf = api.get(f"{CLIENT}/record.pdf")
    assert pdf.headers["Handover-Password-Rule"] == password_rule("en")


def test_other_pages_of_the_same_version_are_an_alarm_and_no_refusal(
    api: httpx.Client, services: Services, opened: Request, caplog: pytest.LogCaptureFixture
) -> None:
    """RX-17: the client gets its key; log and audit tell that the pages are not those of before."""
    api.get(f"{CLIENT}/record.pdf")
    with transaction(services.database) as session:
        record = session.exec(select(Record)).one()
        record.frozen_input = record.frozen_input | {"purpose": "Tampered with"}
        first = record.sha256
    with caplog.at_level(logging.ERROR):
        answer = api.get(f"{CLIENT}/record.pdf")
    assert answer.status_code == 200
    assert "not what was issued first" in caplog.text
    [event] = events(services, "record.differs")
    now = fingerprint(answer.content, SIGNER)
    assert event.data == {"version": 1, "sha256": now, "first_sha256": first}
    [record_document] = api.get(f"{CLIENT}/records").json()["items"]
    assert record_document["sha256"] == first
    assert record_document["downloads"]["count"] == 2


def test_the_record_says_how_to_gain_access_and_how_to_handle_it(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """SP-27, PB-11, PB-22, PB-23, PB-31: steps, handling, class on each page, whom to ask."""
    pdf = api.get(f"{CLIENT}/record.pdf").content
    reader = PdfReader(io.BytesIO(pdf), password=SIGNER)
    for page in reader.pages:
        assert "Personal / Confidential" in page.extract_text()
    text = " ".join(text_of(pdf).split())
    for said in ("aws configure import", "aws s3 sync", "Pseudonymise", "Do not forward"):
        assert said in text, said
    assert services.settings.help_contact in text


def test_a_trial_points_to_its_own_endpoint(
    services: Services, stage: Stage, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    """RX-07: the record of a local service never sends anybody to the real AWS."""
    endpoint = Endpoint("https://127.0.0.1:4566", "/trial/ca.pem")
    office = RecordOffice(services.settings, services.keyring, endpoint)
    local = replace(services, records=office)
    worker.services, worker.automatic = local, True
    with caller(stage.put(local), token("clients:write", "records:read")) as api:
        pdf = api.post("/v1/clients", json=abc_llc, headers={"Accept": "application/pdf"}).content
    commands = attachments(pdf, SIGNER)["commands.txt"].decode()
    assert "endpoint_url https://127.0.0.1:4566" in commands.replace('"', "")
    assert "amazonaws" not in commands


def test_the_logo_comes_from_the_settings(
    services: Services, stage: Stage, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    """The file is read and made small once, and each record keeps its copy."""
    file = services.settings.data_directory / "logo.png"
    Image.new("RGB", (4000, 1000), "navy").save(file)
    settings = LocalSettings(data_directory=file.parent, logo_file=file)
    office = RecordOffice(settings, services.keyring, Endpoint())
    branded = replace(services, records=office)
    worker.services, worker.automatic = branded, True
    with caller(stage.put(branded), token("clients:write", "records:read")) as api:
        pdf = api.post("/v1/clients", json=abc_llc, headers={"Accept": "application/pdf"}).content
    [picture] = PdfReader(io.BytesIO(pdf), password=SIGNER).pages[0].images
    assert picture.image is not None
    assert 100 < picture.image.width < 1000


def test_the_door_and_the_record_have_the_same_fonts(
    settings: Settings, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the settings' folder can print is let in, and printed; elsewhere it is refused."""
    monkeypatch.setattr("service.records.SYSTEM_FOLDERS", ())
    symbol = "\u2588"
    (tmp_path / "Mono.ttf").write_bytes(
        default_fonts().mono.subset(frozenset(symbol), shaping=True)
    )
    with_font = settings.model_copy(update={"font_directories": (tmp_path,)})
    without = settings.model_copy(update={"font_directories": (tmp_path / "none",)})
    assert RecordOffice(with_font, services.keyring, Endpoint()).can_print(symbol) == []
    assert RecordOffice(without, services.keyring, Endpoint()).can_print(symbol) == [symbol]
