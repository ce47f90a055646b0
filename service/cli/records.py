"""``handover record``: show, save and check records, and write a specimen."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import Session, select

from models.actors import Actor
from models.clients import Client, find_client
from models.database import transaction
from models.records import Record
from models.sealing import Keyring
from pdf import SPECIMEN_SECRET, SignerName, issue, languages, password_rule, specimen, templates
from service.accounts import ensure_operator
from service.cli.output import JsonFlag, refuse, show, show_rows
from service.cli.scope import DataOption, database_of, reading_session, settings_for
from service.freezing import Endpoint
from service.http.record_reading import record_versions
from service.record_check import RecordCheck, check_record
from service.records import IssuedRecord, RecordOffice, fonts_of, note_issue
from service.settings import LocalSettings, Settings
from service.wishes import Requester

app = typer.Typer(help="The records T-050-003.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="RECORD", help="A record's number, or a slug.")]

_FINDINGS = {
    "opens": "It opens with that name.",
    "protected": "It is locked with AES-256 and opens with no other password that is known.",
    "signer_right": "The name is that of the contract's signer.",
    "number_known": "Its number is in the register.",
    "hash_known": "It says what was issued, word for word.",
}


class UnknownRecord(LookupError):
    """There is neither a record of this number nor a client of this slug."""


@app.command("show")
def show_(which: Which, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Show all versions of a record, or of a client's records; never their secret."""
    with reading_session(settings_for(data)) as session:
        client, number = _wanted(session, which)
        names = {actor.id: actor.name for actor in session.exec(select(Actor))}
        versions = record_versions(session, client, number)
    rows = [
        {
            **version.model_dump(
                include={"number", "version", "template_version", "draft", "issued_at"}
            ),
            "issued_by": names[version.issued_by],
            "key_id": version.key_id,
            "sha256": version.sha256,
            "downloads": version.downloads.count,
            "last_download": version.downloads.last_at,
        }
        for version in versions
    ]
    show_rows(rows, as_json=as_json, empty=f"{client.slug} has no record.")


@app.command("save")
def save(
    which: Which,
    out: Annotated[
        Path, typer.Option(help="Folder for the file, which must not be there yet.")
    ] = Path(),
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Save the newest version as its protected PDF; that is a download, and in the audit."""
    settings = settings_for(data)
    issued = _issued(settings, which, out, as_json=as_json)
    file = out / issued.filename
    # Readable by its owner only, and never over another file.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(issued.pdf)
    document = {
        "file": file,
        "number": issued.number,
        "version": issued.version,
        "sha256": issued.sha256,
        "password_rule": issued.password_rule,
        "password_warning": issued.password_warning,
    }
    warning = f"\n{issued.password_warning}" if issued.password_warning else ""
    text = f"Saved {file}. Its password: {issued.password_rule}{warning}"
    show(document, as_json=as_json, text=text)


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The PDF.")],
    signer: Annotated[
        str,
        typer.Option(
            prompt="Name of the contract's signer", hide_input=True, help="Asked for unless given."
        ),
    ],
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a file: does it open with the signer's name, and is it a record as it was issued."""
    with reading_session(settings_for(data)) as session:
        found = check_record(session, file.read_bytes(), signer)
    document = {"file": file, "ok": found.ok, **vars(found)}
    show(document, as_json=as_json, text=_verdict(file, found))
    if not found.ok:
        raise typer.Exit(1)


@app.command("sample")
def sample(
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Write a specimen in each language, with a key that is plainly none."""
    # Local settings: what is not configured gets a stand-in, as a specimen needs no service.
    settings = LocalSettings()
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for language in languages():
        record = specimen(
            language=language,
            organisation=settings.organisation,
            time_zone=settings.time_zone,
            bucket=settings.bucket,
            region=settings.region,
            template_version=templates()[-1].version,
        )
        signer = SignerName(full_name=record.signer_name)
        file = out / f"T-050-003-specimen-{language}.pdf"
        file.write_bytes(issue(record, SPECIMEN_SECRET, signer, fonts=fonts_of(settings)))
        files.append(file)
    document: dict[str, Any] = {"files": [str(file) for file in files], "signer": "Ada Lovelace"}
    document["password_rule"] = password_rule("en")
    listed = ", ".join(document["files"])
    show(document, as_json=as_json, text=f"Wrote {listed}. The signer is {document['signer']}.")


def _wanted(session: Session, which: str) -> tuple[Client, str | None]:
    """Return the client, and the record's number where that is what was asked for."""
    query = select(Client).join(Record).where(Record.number == which).limit(1)
    owner = session.exec(query).first()
    if owner is not None:
        return owner, which
    client = find_client(session, which)
    if client is None:
        raise UnknownRecord(f"There is neither a record nor a client {which!r}.")
    return client, None


def _issued(settings: Settings, which: str, out: Path, *, as_json: bool) -> IssuedRecord:
    with database_of(settings) as database:
        office = RecordOffice(settings, Keyring.from_file(settings.keyring), Endpoint())
        with transaction(database, write=False) as session:
            client, number = _wanted(session, which)
            issued = office.issue_pdf(session, client, number)
        file = out / issued.filename
        if not out.is_dir():
            refuse("NoFolder", f"There is no folder {out}.", as_json=as_json)
        if file.exists():
            refuse("FileExists", f"{file} is there already; move it first.", as_json=as_json)
        # Nothing leaves unless the note of it is committed (RX-17).
        with transaction(database) as session:
            operator = ensure_operator(session)
            note_issue(session, client, issued, Requester(operator.id))
    return issued


def _verdict(file: Path, found: RecordCheck) -> str:
    lines = [f"{file}: {found.number or 'no record'}, version {found.version or 'unknown'}"]
    lines += [
        f"{'yes' if getattr(found, name) else 'NO '}  {sentence}"
        for name, sentence in _FINDINGS.items()
    ]
    return "\n".join(lines)
