"""Reads records and makes documents of them: metadata only, never the pages or the secret."""

from typing import Any

from sqlmodel import Session, col, func, select

from models.access_keys import AccessKey
from models.audit import AuditEvent
from models.clients import Client
from models.records import Record
from pdf import password_rule
from service.http.documents import DownloadsDocument, RecordDocument, RecordVersionDocument

_NEVER = DownloadsDocument(count=0, last_at=None)
_Downloads = dict[tuple[str, int], DownloadsDocument]


def record_documents(session: Session, client: Client) -> list[RecordDocument]:
    """Return every version of every record of the client, newest first, as the client has them.

    Without what changes when a record is only read, so that reading one leaves the client's entity
    tag as it was.
    """
    return [RecordDocument(**_fields(*row)) for row in session.exec(_of(client))]


def record_versions(
    session: Session, client: Client, number: str | None = None
) -> list[RecordVersionDocument]:
    """Return the versions of the client's records, or of one of them, newest first, with their
    hashes and downloads.
    """
    query = _of(client)
    if number is not None:
        query = query.where(Record.number == number)
    downloads = _downloads(session, client)
    return [
        RecordVersionDocument(
            **_fields(record, key),
            sha256=record.sha256,
            downloads=downloads.get((record.number, record.version), _NEVER),
        )
        for record, key in session.exec(query)
    ]


def _of(client: Client) -> Any:
    return (
        select(Record, AccessKey)
        .join(AccessKey, col(AccessKey.id) == col(Record.access_key_row_id))
        .where(Record.client_id == client.id)
        .order_by(col(Record.year).desc(), col(Record.sequence).desc(), col(Record.version).desc())
    )


def _fields(record: Record, key: AccessKey) -> dict[str, Any]:
    return {
        "number": record.number,
        "version": record.version,
        "template_version": record.template_version,
        "draft": record.frozen_input["draft"],
        "issued_at": record.issued_at,
        "issued_by": record.issued_by,
        "key_id": key.access_key_id,
        "key_generation": key.generation,
        "password_form": record.password_form,
        "password_rule": password_rule(record.frozen_input["language"]),
    }


def _downloads(session: Session, client: Client) -> _Downloads:
    """Return the downloads by number and version, from the audit: nothing else is kept of them."""
    version = col(AuditEvent.data)["version"].as_integer()
    query = (
        select(AuditEvent.object_id, version, func.count(), func.max(AuditEvent.at))
        .where(AuditEvent.client_id == client.id, AuditEvent.action == "record.downloaded")
        .group_by(col(AuditEvent.object_id), version)
    )
    return {
        (number, int(of)): DownloadsDocument(count=count, last_at=last)
        for number, of, count, last in session.exec(query)
    }
