"""`PATCH /v1/clients/{slug}`: the record's next version with the same key, and nothing lost."""

import copy
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from models.audit import AuditEvent
from models.clients import Client, ClientState, Contract, Signer
from models.database import transaction
from models.records import Record
from pdf import WrongPasswordError, attachments
from service.context import Services
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import DENIED, HandWorker

Request = dict[str, Any]
CLIENT = "/v1/clients/ABC-LLC"


@pytest.fixture
def opened(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> Request:
    """An open client, as its document says."""
    worker.automatic = True
    answer = api.post("/v1/clients", json=abc_llc, headers={"Prefer": "wait=5"})
    assert answer.status_code == 201, answer.text
    client: Request = answer.json()
    return client


def patch(api: httpx.Client, change: Request, if_match: str | None = None) -> httpx.Response:
    """Send a change, based on the client as it is now unless told otherwise."""
    etag = if_match or api.get(CLIENT).headers["ETag"]
    return api.patch(CLIENT, json=change, headers={"If-Match": etag})


def rows(services: Services, table: type[Any], order: str) -> list[Any]:
    """Return all rows of a table in this order."""
    with transaction(services.database, write=False) as session:
        return list(session.exec(select(table).order_by(col(getattr(table, order)))).all())


def test_a_change_makes_the_next_version_with_the_same_key(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """SP-15: same number, same key, version 2; version 1 says for ever what it said."""
    with transaction(services.database) as session:
        record = session.exec(select(Record)).one()
        record.frozen_input = record.frozen_input | {"valid_from": "2026-01-02"}
    answer = patch(api, {"purpose": "Another study", "language": "es"})
    assert answer.status_code == 200, answer.text
    client = answer.json()
    assert (client["purpose"], client["language"]) == ("Another study", "es")
    assert [record["version"] for record in client["records"]] == [2, 1]
    new, old = client["records"]
    for same in ("number", "key_id", "key_generation", "template_version", "issued_by"):
        assert new[same] == old[same]
    assert new["issued_at"] > old["issued_at"]
    first, second = rows(services, Record, "version")
    assert first.frozen_input["purpose"] == opened["purpose"]
    assert second.frozen_input["purpose"] == "Another study"
    assert second.frozen_input["valid_from"] == "2026-01-02"
    pdf = api.get(f"{CLIENT}/record.pdf")
    assert pdf.headers["Handover-Record-Version"] == "2"
    assert "-v2-" in pdf.headers["Content-Disposition"]


def test_the_answer_has_the_etag_of_the_next_change(api: httpx.Client, opened: Request) -> None:
    """The entity tag of the answer is that of a later reading, and serves the next change."""
    answer = patch(api, {"purpose": "Another study"})
    assert api.get(CLIENT).headers["ETag"] == answer.headers["ETag"]
    assert patch(api, {"purpose": "A third one"}, answer.headers["ETag"]).status_code == 200


def test_a_change_says_what_it_is_based_on(api: httpx.Client, opened: Request) -> None:
    """Without `If-Match` 428, after somebody else's change 412, and nothing is written."""
    missing = api.patch(CLIENT, json={"purpose": "Another study"})
    assert (missing.status_code, missing.json()["type"]) == (428, "/problems/precondition-required")
    seen = api.get(CLIENT).headers["ETag"]
    assert patch(api, {"purpose": "Another study"}, seen).status_code == 200
    late = patch(api, {"purpose": "A third one"}, seen)
    assert (late.status_code, late.json()["type"]) == (412, "/problems/precondition-failed")
    client = api.get(CLIENT)
    assert late.headers["ETag"] == client.headers["ETag"]
    assert client.json()["purpose"] == "Another study"
    assert len(client.json()["records"]) == 2


def test_downloading_does_not_get_in_the_way_of_a_change(
    api: httpx.Client, opened: Request
) -> None:
    """The entity tag stays when the record is only read."""
    etag = api.get(CLIENT).headers["ETag"]
    api.get(f"{CLIENT}/record.pdf")
    assert patch(api, {"purpose": "Another study"}, etag).status_code == 200


@pytest.mark.parametrize(
    ("signer", "password", "form"),
    [
        ({"first_name": "Grace", "last_name": "Peña Ortiz"}, "Grace Peña Ortiz", "first_last"),
        ({"full_name": "Ὑπατία Θέωνος"}, "Ὑπατία Θέωνος", "full_name"),
    ],
)
def test_another_signer_opens_the_next_version(
    api: httpx.Client,
    services: Services,
    opened: Request,
    signer: dict[str, str],
    password: str,
    form: str,
) -> None:
    """SP-28: the new signer's name opens it, the old one's no longer does; both stay on file."""
    answer = patch(api, {"contract": {"signer": signer}})
    assert answer.status_code == 200, answer.text
    pdf = api.get(f"{CLIENT}/record.pdf").content
    assert "credentials.csv" in attachments(pdf, password)
    with pytest.raises(WrongPasswordError):
        attachments(pdf, "Ada Lovelace")
    shown = answer.json()["contract"]["signer"]
    names = ("first_name", "last_name", "full_name")
    assert {name: shown[name] for name in names if shown[name]} == signer
    assert shown["email"] == "ada@abc.example"
    assert [record["password_form"] for record in answer.json()["records"]] == [form, "first_last"]
    before, after = rows(services, Contract, "created_at")
    assert (before.current, after.current) == (False, True)
    assert (before.reference, before.signed_on) == (after.reference, after.signed_on)
    by_contract = {row.contract_id: row for row in rows(services, Signer, "id")}
    assert by_contract[before.id].first_name == "Ada"
    assert by_contract[after.id].first_name == signer.get("first_name")


def test_only_the_contact_changes(api: httpx.Client, services: Services, opened: Request) -> None:
    """Another e-mail address keeps the name in the form in which it was given."""
    answer = patch(api, {"contract": {"signer": {"email": "legal@abc.example"}}})
    signer = answer.json()["contract"]["signer"]
    assert (signer["first_name"], signer["last_name"]) == ("Ada", "Lovelace")
    assert signer["email"] == "legal@abc.example"
    assert [record["version"] for record in answer.json()["records"]] == [2, 1]


def test_dates_are_set_and_taken_away(api: httpx.Client, opened: Request) -> None:
    """What is left out stays; null takes a date away."""
    dates = {"valid_until": "2098-12-31", "contract": {"ends_on": "2099-12-31"}}
    client = patch(api, dates).json()
    assert (client["valid_until"], client["contract"]["ends_on"]) == ("2098-12-31", "2099-12-31")
    client = patch(api, {"purpose": "Another study"}).json()
    assert (client["valid_until"], client["contract"]["ends_on"]) == ("2098-12-31", "2099-12-31")
    client = patch(api, {"valid_until": None, "contract": {"ends_on": None}}).json()
    assert (client["valid_until"], client["contract"]["ends_on"]) == (None, None)


def test_a_change_that_changes_nothing_makes_nothing(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """The same data again, or none, answer the client as it is."""
    etag = api.get(CLIENT).headers["ETag"]
    signer = {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@abc.example"}
    same = {"purpose": opened["purpose"], "contract": {"signer": signer}}
    for change in (same, {}):
        answer = patch(api, change, etag)
        assert (answer.status_code, answer.headers["ETag"]) == (200, etag)
    assert len(rows(services, Record, "version")) == 1
    assert len(rows(services, Contract, "created_at")) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"profile": "read-only"}, "profile"),
        ({"legal_name": "Another Company"}, "legal_name"),
        ({"contract": {"reference": "DPA-2"}}, "contract.reference"),
        ({"purpose": "x"}, "purpose"),
        ({"purpose": "bell \u0007"}, "purpose"),
        ({"language": "xx"}, "language"),
        ({"data_categories": []}, "data_categories"),
        ({"valid_until": "2020-01-01"}, "valid_until"),
        ({"valid_until": "2099-01-01", "contract": {"ends_on": "2098-01-01"}}, "valid_until"),
        ({"contract": {"ends_on": "2020-01-01"}}, "contract.ends_on"),
        ({"contract": {"signer": {"first_name": "Grace"}}}, "contract.signer"),
        (
            {"contract": {"signer": {"first_name": "G", "last_name": "H", "full_name": "G H"}}},
            "contract.signer",
        ),
        ({"contract": {"signer": {"full_name": "\u2488"}}}, "contract.signer.full_name"),
        ({"contract": {"signer": {"full_name": "x" * 128}}}, "contract.signer.full_name"),
        ({"contract": {"signer": {"email": "nobody"}}}, "contract.signer.email"),
    ],
)
def test_a_change_passes_the_checks_of_an_opening(
    api: httpx.Client, services: Services, opened: Request, change: Request, field: str
) -> None:
    """Shapes, fonts, password and dates as when the client was opened; nothing is half-written."""
    answer = patch(api, change)
    assert answer.status_code == 422, answer.text
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert len(rows(services, Record, "version")) == 1
    assert len(rows(services, Contract, "created_at")) == 1


def test_an_ended_contract_hands_nothing_over(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """SP-07: the stored contract passes the gates again, as for a reopening."""
    with transaction(services.database) as session:
        contract = session.exec(select(Contract)).one()
        contract.ends_on = contract.signed_on
    answer = patch(api, {"purpose": "Another study"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/contract-ended")
    assert patch(api, {"contract": {"ends_on": "2099-01-01"}}).status_code == 200


def test_only_an_open_client_changes(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Being opened, closed, failed: 409, and where to go on."""
    change = {"purpose": "Another study"}
    operation = api.post("/v1/clients", json=abc_llc).json()
    answer = patch(api, change)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/operation-in-progress")
    worker.finish(operation["id"])
    worker.automatic = True
    api.delete(CLIENT, params={"reason": "contract ended"})
    answer = patch(api, change)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/client-closed")
    assert answer.json()["links"]["reopen"] == f"{CLIENT}/reopen"
    worker.failure = DENIED
    api.post(f"{CLIENT}/reopen")
    answer = patch(api, change)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/client-not-open")


def test_a_suspended_client_changes_and_stays_suspended(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """One whose validity ended gets more time before it is resumed."""
    with transaction(services.database) as session:
        session.exec(select(Client)).one().state = ClientState.suspended
    answer = patch(api, {"purpose": "Another study"})
    assert (answer.status_code, answer.json()["state"]) == (200, "suspended")


def test_a_change_is_audited_by_field_names_only(
    api: httpx.Client, services: Services, opened: Request
) -> None:
    """RX-17: who changed what, and which version came of it; no names, no values."""
    change = {"purpose": "Another study", "contract": {"signer": {"full_name": "Grace Hopper"}}}
    client = patch(api, copy.deepcopy(change)).json()
    [event] = [e for e in rows(services, AuditEvent, "sequence") if e.action == "client.updated"]
    assert event.data == {
        "changed": ["purpose", "contract.signer"],
        "record": client["records"][0]["number"],
        "version": 2,
    }
    assert event.source_ip == "127.0.0.1"


def test_a_change_needs_the_scope_and_the_reach(
    api: httpx.Client, address: str, token: TokenFactory, opened: Request
) -> None:
    """PB-16: `clients:write`, and the client within reach; elsewhere it looks unknown."""
    headers = {"If-Match": "*"}
    with caller(address, token("clients:read")) as reader:
        assert reader.patch(CLIENT, json={}, headers=headers).status_code == 403
    with caller(address, token("clients:write", slugs=["Other"])) as other:
        assert other.patch(CLIENT, json={}, headers=headers).status_code == 404
        assert other.patch(CLIENT, json={}).status_code == 404


def test_other_media_types_are_refused_with_the_right_one(
    api: httpx.Client, opened: Request
) -> None:
    """RFC 5789: `Accept-Patch` names what is taken."""
    answer = api.patch(CLIENT, content=b"a", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.headers["Accept-Patch"]) == (415, "application/json")
