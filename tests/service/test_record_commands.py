"""`handover record` and `handover template` on a local service's folder."""

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from sqlmodel import select
from typer.testing import CliRunner

from models.access_keys import AccessKey
from models.actors import Actor
from models.audit import AuditEvent, verify_chain
from models.base import utc_now
from models.clients import Client, ClientState, ContractKind, Profile, move_client
from models.database import create_engine_for, transaction
from models.records import Record
from models.sealing import Keyring
from pdf import attachments, fingerprint, languages, protect
from service.accounts import ensure_operator
from service.cli.main import app, main
from service.freezing import Endpoint
from service.intents import begin_open
from service.local import prepare
from service.records import RecordOffice
from service.settings import Settings
from service.wishes import ContractIntent, OpenIntent, Requester, SignerIntent

SIGNER = "Ada Lovelace"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
INTENT = OpenIntent(
    legal_name="ABC LLC",
    slug="ABC-LLC",
    purpose="Clinical validation of the device",
    data_categories=("clinical images",),
    profile=Profile.hardened,
    language="en",
    valid_until=None,
    contract=ContractIntent(
        kind=ContractKind.dpa,
        reference="DPA-2026-014",
        signed_on=date(2026, 3, 31),
        ends_on=None,
        jurisdiction="ES",
        signer=SignerIntent("ada@abc.example", first_name="Ada", last_name="Lovelace"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status and what it printed."""

    status: object
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What was printed with ``--json``."""
        return json.loads(self.out)


Handover = Callable[..., Outcome]


@pytest.fixture
def handover(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Handover:
    """`handover("record", "show", …)`: run a command in this process."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["handover", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Outcome(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A local service's folder with one open client and its record."""
    settings = prepare(tmp_path / "data")
    keyring = Keyring.from_file(settings.keyring)
    database = create_engine_for(settings.database)
    with transaction(database) as session:
        requester = Requester(ensure_operator(session).id)
        operation = begin_open(session, settings, INTENT, requester, lambda _: None)
        client, key = session.exec(select(Client)).one(), session.exec(select(AccessKey)).one()
        key.access_key_id = "AKIAIOSFODNN7EXAMPLE"
        key.seal_secret(keyring, SECRET)
        key.proven_at = utc_now()
        RecordOffice(settings, keyring, Endpoint()).create(session, operation, client, key)
        move_client(client, ClientState.open)
    database.dispose()
    return settings


@pytest.fixture
def saved(handover: Handover, settings: Settings, tmp_path: Path) -> Path:
    """The record as a file."""
    outcome = handover(
        "record", "save", "ABC-LLC", "--out", tmp_path, "--data", settings.data_directory, "--json"
    )
    assert outcome.status == 0, outcome.err
    return Path(outcome.document["file"])


def audited(settings: Settings, action: str) -> list[AuditEvent]:
    """Return the audit events of this action, after a look at the whole chain."""
    database = create_engine_for(settings.database)
    with transaction(database, write=False) as session:
        assert verify_chain(session).ok
        query = select(AuditEvent).where(AuditEvent.action == action)
        found = list(session.exec(query).all())
    database.dispose()
    return found


def test_save_writes_the_protected_pdf_and_is_a_download(
    handover: Handover, settings: Settings, saved: Path
) -> None:
    """SP-28, RX-17: its owner's file only, opened by the signer's name, in the audit."""
    assert re.fullmatch(r"T-050-003-\d{4}-0001-v1-ABC-LLC\.pdf", saved.name)
    assert saved.stat().st_mode & 0o077 == 0
    assert SECRET in attachments(saved.read_bytes(), SIGNER)["credentials.csv"].decode()
    [event] = audited(settings, "record.downloaded")
    assert event.data["sha256"] == fingerprint(saved.read_bytes(), SIGNER)
    assert event.object_id in saved.name


def test_save_never_overwrites_a_file(
    handover: Handover, settings: Settings, saved: Path, tmp_path: Path
) -> None:
    """Refused before anything is issued, so that the audit has no download that nobody got."""
    before = saved.read_bytes()
    data = ("--data", settings.data_directory)
    again = handover("record", "save", "ABC-LLC", "--out", tmp_path, *data)
    assert (again.status, saved.read_bytes()) == (1, before)
    assert "is there already" in again.err
    nowhere = handover("record", "save", "ABC-LLC", "--out", tmp_path / "none", *data)
    assert nowhere.status == 1
    assert len(audited(settings, "record.downloaded")) == 1


def test_show_tells_all_but_the_secret(handover: Handover, settings: Settings, saved: Path) -> None:
    """SP-15: by number or slug; which key, by whom, the hash, the downloads."""
    data = ("--data", settings.data_directory, "--json")
    by_slug = handover("record", "show", "abc-llc", *data)
    [record] = by_slug.document
    assert handover("record", "show", record["number"], *data).document == [record]
    assert (record["version"], record["key_id"]) == (1, "AKIAIOSFODNN7EXAMPLE")
    assert (record["issued_by"], record["downloads"]) == ("operator", 1)
    assert record["sha256"] == fingerprint(saved.read_bytes(), SIGNER)
    assert SECRET not in by_slug.out
    unknown = handover("record", "show", "Nobody", *data)
    assert unknown.status == 1
    assert json.loads(unknown.err)["error"]["code"] == "UnknownRecord"


def test_a_closed_clients_record_is_shown_and_not_saved(
    handover: Handover, settings: Settings, tmp_path: Path
) -> None:
    """SP-15: the metadata stays when the key is gone."""
    database = create_engine_for(settings.database)
    with transaction(database) as session:
        client = session.exec(select(Client)).one()
        move_client(client, ClientState.closing)
        move_client(client, ClientState.closed)
    database.dispose()
    data = ("--data", settings.data_directory, "--json")
    refused = handover("record", "save", "ABC-LLC", "--out", tmp_path, *data)
    assert json.loads(refused.err)["error"]["code"] == "RecordGone"
    assert len(handover("record", "show", "ABC-LLC", *data).document) == 1


def test_check_knows_a_record_as_it_was_issued(
    handover: Handover, settings: Settings, saved: Path
) -> None:
    """SP-15, SP-28: it opens, with the right form of password; number and hash are known."""
    data = ("--data", settings.data_directory, "--json")
    outcome = handover("record", "check", saved, "--signer", SIGNER, *data)
    assert outcome.status == 0, outcome.out
    found = outcome.document
    assert found["number"] in saved.name
    assert found["version"] == 1
    for finding in ("ok", "opens", "protected", "signer_right", "number_known", "hash_known"):
        assert found[finding] is True, finding


def test_check_asks_for_the_name(settings: Settings, saved: Path) -> None:
    """PB-13: the password is not shown while it is typed, and never printed."""
    words = ["record", "check", str(saved), "--data", str(settings.data_directory)]
    result = CliRunner().invoke(app, words, input=f"{SIGNER}\n")
    assert result.exit_code == 0, result.output
    assert "word for word" in result.output
    assert "Lovelace" not in result.output


def test_check_knows_each_document_that_left_the_house(
    handover: Handover, settings: Settings, saved: Path, tmp_path: Path
) -> None:
    """RX-17: also one whose pages were not those of the first issue; the audit has its hash."""
    database = create_engine_for(settings.database)
    with transaction(database) as session:
        record = session.exec(select(Record)).one()
        record.frozen_input = record.frozen_input | {"purpose": "Told otherwise later"}
    database.dispose()
    later = tmp_path / "later"
    later.mkdir()
    data = ("--data", settings.data_directory, "--json")
    file = handover("record", "save", "ABC-LLC", "--out", later, *data).document["file"]
    assert len(audited(settings, "record.differs")) == 1
    for issued in (saved, file):
        assert handover("record", "check", issued, "--signer", SIGNER, *data).status == 0


@pytest.mark.parametrize("name", ["Ada", "ada lovelace", "Ada  Lovelace", "", "Lovelace Ada"])
def test_check_says_when_the_name_does_not_open_it(
    handover: Handover, settings: Settings, saved: Path, name: str
) -> None:
    """SP-28: any other form of the name opens nothing."""
    data = ("--data", settings.data_directory, "--json")
    outcome = handover("record", "check", saved, "--signer", name, *data)
    assert outcome.status == 1
    assert not outcome.document["opens"]
    assert not outcome.document["hash_known"]


def changed(pdf: bytes, *, title: str = "") -> bytes:
    """Return the document without its lock and with a word of it changed."""
    with pikepdf.open(io.BytesIO(pdf), password=SIGNER) as document:
        document.docinfo["/Subject"] = pikepdf.String("Something else")
        if title:
            document.docinfo["/Title"] = pikepdf.String(title)
        out = io.BytesIO()
        document.save(out, encryption=False)
    return out.getvalue()


def test_check_finds_what_is_not_ours(
    handover: Handover, settings: Settings, saved: Path, tmp_path: Path
) -> None:
    """Unlocked, changed, locked with another name, of an unknown number, no PDF at all."""
    original = saved.read_bytes()
    forged = tmp_path / "forged.pdf"

    def findings(content: bytes, signer: str = SIGNER) -> set[str]:
        forged.write_bytes(content)
        data = ("--data", settings.data_directory, "--json")
        outcome = handover("record", "check", forged, "--signer", signer, *data)
        assert outcome.status == 1
        return {name for name, value in outcome.document.items() if value is False} - {"ok"}

    assert findings(changed(original)) == {"protected", "hash_known"}
    assert findings(protect(changed(original), SIGNER)) == {"hash_known"}
    assert findings(protect(changed(original), "Eve"), "Eve") == {"signer_right", "hash_known"}
    unknown = protect(changed(original, title="T-050-003-2001-0001 Data access key"), SIGNER)
    assert findings(unknown) == {"signer_right", "number_known", "hash_known"}
    forged.write_bytes(b"no PDF")
    data = ("--data", settings.data_directory)
    outcome = handover("record", "check", forged, "--signer", SIGNER, *data)
    assert (outcome.status, "no PDF that can be read" in outcome.err) == (1, True)


def test_sample_writes_a_specimen_in_each_language(
    handover: Handover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SP-27: without any configuration, with a key that is plainly none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HANDOVER_ORGANISATION_NAME", "Test Ltd")
    outcome = handover("record", "sample", "--out", tmp_path / "specimens", "--json")
    assert outcome.status == 0, outcome.err
    files = [Path(file) for file in outcome.document["files"]]
    assert len(files) == len(languages()) >= 2
    for file in files:
        key = attachments(file.read_bytes(), outcome.document["signer"])["credentials.csv"]
        assert b"SPECIMEN" in key
    assert not (tmp_path / ".handover").exists()


def test_a_template_is_signed_from_the_command_line(handover: Handover, settings: Settings) -> None:
    """SP-08, SP-29, SP-30: author, reviewer, approver; then records are no draft any more."""
    data = ("--data", settings.data_directory)
    people = {"author": "JD-020", "reviewer": "JD-003", "approver": "JD-001"}
    database = create_engine_for(settings.database)
    with transaction(database) as session:
        session.add_all([Actor(name=f"the {step}", roles=[r]) for step, r in people.items()])
    database.dispose()
    [listed] = handover("template", "list", *data, "--json").document
    assert (listed["version"], listed["state"], listed["due"]) == ("1", "draft", "author")

    def sign(step: str, actor: str) -> Outcome:
        options = ("--step", step, "--actor", actor, "--commit", COMMIT)
        return handover("template", "approve", "1", *options, *data)

    refused = sign("approver", "the approver")
    assert (refused.status, "next needs its author" in refused.err) == (1, True)
    assert "Traceback" not in refused.err
    for step in people:
        signed = sign(step, f"the {step}")
        assert signed.status == 0, signed.err
    assert "new records are made under it" in signed.out
    shown = handover("template", "show", "1", *data, "--json").document
    assert (shown["state"], shown["due"], shown["chosen"]) == ("approved", None, True)
    assert [(a["actor"], a["role"]) for a in shown["approvals"]] == [
        (f"the {step}", role) for step, role in people.items()
    ]
    assert COMMIT in handover("template", "show", "1", *data).out
    unknown = handover("template", "show", "7", *data, "--json")
    assert json.loads(unknown.err)["error"]["code"] == "UnknownTemplateError"
    assert len(audited(settings, "template.approved")) == 3
