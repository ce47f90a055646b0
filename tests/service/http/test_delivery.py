"""Delivery over HTTP: one-time links, their page, the code, what is known of it afterwards."""

import io
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pypdf import PdfReader
from sqlmodel import select

from models.audit import AuditEvent, verify_chain
from models.base import utc_now
from models.database import transaction
from models.deliveries import Receipt, ReceiptHow, RecordLink
from service.context import Services
from service.http.collect import TRIES_PER_MINUTE
from service.settings import LocalSettings, Settings
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]
LINKS = "/v1/clients/ABC-LLC/record/links"
BASE = "https://handover.example/area"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return LocalSettings(
        data_directory=tmp_path, passphrase=SecretStr("of the test"), base_url=BASE
    )


@pytest.fixture
def opened(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> httpx.Client:
    """A caller, once ABC LLC's area is open."""
    worker.automatic = True
    assert api.post("/v1/clients", json=abc_llc).status_code == 202
    return api


@pytest.fixture
def browser(address: str) -> Iterator[httpx.Client]:
    """Somebody without any token of the API."""
    with httpx.Client(base_url=address, trust_env=False) as client:
        yield client


def token_of(api: httpx.Client) -> str:
    answer = api.post(LINKS)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["address"].partition("#")[2])


def post(browser: httpx.Client, what: str, token: str) -> httpx.Response:
    return browser.post(f"/collect/{what}", data={"token": token})


def test_a_link_tells_its_address_once_and_what_the_password_is_worth(
    opened: httpx.Client, services: Services
) -> None:
    made = opened.post(LINKS).json()
    address, _, token = made["address"].partition("#")
    assert address == f"{BASE}/collect"
    assert len(token) == 43  # 256 bits
    assert "about 200 guesses a second" in made["password"]["warning"]
    assert "Ada" not in str(made)
    listed = opened.get("/v1/clients/ABC-LLC/deliveries")
    assert token not in listed.text
    with transaction(services.database, write=False) as session:
        assert token not in repr(session.exec(select(RecordLink)).one().model_dump())


def test_the_page_gives_nothing_away_and_getting_it_uses_nothing_up(
    opened: httpx.Client, browser: httpx.Client
) -> None:
    """Link scanners only GET: the page is the same for everybody."""
    token = token_of(opened)
    pages = [browser.get(f"/collect#{token}"), browser.get("/collect"), browser.head("/collect")]
    assert [page.status_code for page in pages] == [200, 200, 200]
    assert pages[0].text == pages[1].text
    assert "spelt as in the contract, accents included" in pages[0].text
    assert "ABC" not in pages[0].text
    assert "Ada" not in pages[0].text
    assert pages[0].headers["Referrer-Policy"] == "no-referrer"
    assert "script-src 'sha256-" in pages[0].headers["Content-Security-Policy"]
    spanish = browser.get("/collect", headers={"Accept-Language": "es-ES,es;q=0.9,en;q=0.8"})
    assert "con sus acentos" in spanish.text
    assert post(browser, "look", token).status_code == 200


def test_a_record_is_downloaded_once_by_post_and_all_of_it_is_noted(
    opened: httpx.Client, browser: httpx.Client, services: Services
) -> None:
    """SP-15, SP-26, SP-28, RX-17; PB-15: a copy is a right, and each one is noted."""
    token = token_of(opened)
    told = post(browser, "look", token).json()
    assert told["about"].startswith("T-050-003-")
    assert "ABC" not in str(told)
    answer = post(browser, "document", token)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    assert answer.headers["Cache-Control"] == "no-store"
    assert PdfReader(io.BytesIO(answer.content), password="Ada Lovelace").pages
    assert post(browser, "document", token).status_code == 404
    assert post(browser, "look", token).status_code == 404
    [delivery] = opened.get("/v1/clients/ABC-LLC/deliveries").json()["items"]
    kinds = [(event["kind"], event["network"]) for event in delivery["events"]]
    assert kinds == [(kind, "127.0.0.1") for kind in ("created", "viewed", "downloaded")]
    assert delivery["downloaded_at"] is not None
    with transaction(services.database, write=False) as session:
        actions = [event.action for event in session.exec(select(AuditEvent)).all()]
        assert actions.count("record.downloaded") == 1
        assert verify_chain(session).ok


def test_of_many_downloads_at_once_one_wins(opened: httpx.Client, browser: httpx.Client) -> None:
    token = token_of(opened)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(browser, "document", token), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[404] * 7]


def test_wrong_expired_used_and_replaced_links_are_answered_alike(
    opened: httpx.Client, browser: httpx.Client, services: Services
) -> None:
    replaced = token_of(opened)
    used = token_of(opened)
    post(browser, "document", used)
    expired = token_of(opened)
    with transaction(services.database) as session:
        for link in session.exec(select(RecordLink)):
            link.expires_at = utc_now() - timedelta(seconds=1)
    tokens = (replaced, used, expired, "wrong", "", "\x00ñ", "a" * 3000)
    answers = [post(browser, "look", token).json() for token in tokens]
    for answer in answers:
        answer.pop("instance", None)
    assert answers == [answers[0]] * len(answers)
    assert answers[0]["type"].endswith("/link-not-valid")


def test_tries_are_limited_by_network(opened: httpx.Client, browser: httpx.Client) -> None:
    token = token_of(opened)
    tries = [post(browser, "look", "wrong") for _ in range(TRIES_PER_MINUTE + 1)]
    assert tries[-1].status_code == 429
    assert int(tries[-1].headers["Retry-After"]) >= 1
    assert post(browser, "document", token).status_code == 429


def test_tokens_reach_no_log(
    opened: httpx.Client, browser: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = token_of(opened)
    for what in ("look", "document", "confirm"):
        post(browser, what, token)
    browser.get("/collect", params={"token": "in-a-query"})
    ours = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.partition(".")[0] in ("handover", "service", "models", "pdf")
    )
    assert "/collect/document" in ours
    assert token not in ours
    assert "in-a-query" not in ours


def test_the_engineer_confirms_and_the_receipt_says_when_the_secret_is_forgotten(
    opened: httpx.Client, browser: httpx.Client, services: Services
) -> None:
    """SP-26: the receipt is part of the delivery's log."""
    token = token_of(opened)
    assert post(browser, "confirm", token).status_code == 404, "not downloaded yet"
    post(browser, "document", token)
    assert post(browser, "confirm", token).status_code == 204
    assert post(browser, "confirm", token).status_code == 404
    with transaction(services.database, write=False) as session:
        receipt = session.exec(select(Receipt)).one()
    assert receipt.how is ReceiptHow.confirmed
    assert receipt.erase_at - receipt.at > timedelta(days=13, hours=23)
    [delivery] = opened.get("/v1/clients/ABC-LLC/deliveries").json()["items"]
    assert delivery["receipt"]["how"] == "confirmed"


def test_who_may_make_a_link(
    opened: httpx.Client, address: str, token: TokenFactory, worker: HandWorker
) -> None:
    """RX-16: whoever may read the record; out of reach is not found; no record, no link."""
    with caller(address, token("clients:read", "clients:write")) as writer:
        assert writer.post(LINKS).status_code == 403
    with caller(address, token("records:read", slugs=["OTHER"])) as elsewhere:
        assert elsewhere.post(LINKS).status_code == 404
    opened.delete("/v1/clients/ABC-LLC", params={"reason": "It ended"})
    gone = opened.post(LINKS)
    assert (gone.status_code, gone.json()["type"].rsplit("/", 1)[1]) == (410, "record-gone")


def test_without_a_base_url_there_is_no_link(
    opened: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.settings, "base_url", None)
    answer = opened.post(LINKS)
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (
        409,
        "base-url-missing",
    )


def test_a_record_may_need_a_code_of_six_words_as_well(
    opened: httpx.Client,
    services: Services,
    worker: HandWorker,
    abc_llc: Request,
    monkeypatch: pytest.MonkeyPatch,
    browser: httpx.Client,
) -> None:
    """A name alone is a weak password: the code goes by another channel, shown once."""
    path = "/v1/clients/ABC-LLC/record/code"
    assert opened.post(path).json()["type"].endswith("/code-not-used")
    told = opened.get("/v1/clients/ABC-LLC/record.pdf").headers
    assert "about 200 guesses a second" in told["Handover-Password-Warning"]
    monkeypatch.setattr(services.settings, "password_rule", "signer-name-and-code")
    opened.delete("/v1/clients/ABC-LLC", params={"reason": "It ended"})
    opened.post("/v1/clients/ABC-LLC/reopen")
    shown = opened.post(path)
    code = shown.json()["code"]
    assert len(code.split()) == 6
    assert opened.post(path).json()["type"].endswith("/code-shown")
    assert "code of six words" in browser.get("/collect").text
    told = opened.get("/v1/clients/ABC-LLC/record.pdf").headers
    assert "code of six words" in told["Handover-Password-Rule"]
    assert "Handover-Password-Warning" not in told
    pdf = post(browser, "document", token_of(opened)).content
    assert not PdfReader(io.BytesIO(pdf)).decrypt("Ada Lovelace")
    assert PdfReader(io.BytesIO(pdf)).decrypt(f"Ada Lovelace {code}")
    renewed = opened.post(path, params={"renew": "true"}).json()["code"]
    again = opened.get("/v1/clients/ABC-LLC/record.pdf").content
    assert renewed != code
    assert PdfReader(io.BytesIO(again)).decrypt(f"Ada Lovelace {renewed}")
    with transaction(services.database, write=False) as session:
        assert code not in repr([event.data for event in session.exec(select(AuditEvent)).all()])
