"""`/v1/clients/{slug}/record…` and `/v1/records/{number}`: the protected PDF, and what is known of
the records there have been.
"""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response
from sqlmodel import Session, select

from models.clients import Client
from models.database import transaction
from models.records import Record
from service import problems
from service.http.dependencies import Caller, Reader, RecordReader, ServicesDep
from service.http.documents import RecordList
from service.http.openapi import PDF_CONTENT, Responses, documented
from service.http.parameters import Slug
from service.http.reading import client_within_reach
from service.http.record_answers import record_answer
from service.http.record_reading import record_versions
from service.problems import Problem

_PDF: Responses = {
    200: {
        "description": "The protected PDF.",
        "content": PDF_CONTENT,
        "headers": {
            "Handover-Record": {"description": "Its number.", "schema": {"type": "string"}},
            "Handover-Record-Version": {"schema": {"type": "integer"}},
            "Handover-Password-Warning": {
                "description": "What that form is worth, where it is little.",
                "schema": {"type": "string"},
            },
            "Handover-Password-Rule": {
                "description": "The form of its password, in English; never the value.",
                "schema": {"type": "string"},
            },
        },
    }
}
_READS = documented(problems.NOT_FOUND, problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER)

RecordNumber = Annotated[
    str, Path(description="The record's number.", examples=["T-050-003-2026-0001"])
]

router = APIRouter(prefix="/v1", tags=["records"])


@router.get(
    "/clients/{slug}/record.pdf",
    summary="Download the record",
    response_class=Response,
    responses=_PDF
    | documented(
        problems.NOT_FOUND,
        problems.INSUFFICIENT_SCOPE,
        problems.RECORD_NOT_READY,
        problems.RECORD_GONE,
        problems.INVALID_PARAMETER,
    ),
)
async def download_record(slug: Slug, services: ServicesDep, caller: RecordReader) -> Response:
    """Return the client's newest record, protected; its password is the contract signer's name
    (SP-28).

    Made anew for each download and never stored; each download is in the audit.
    """
    return await record_answer(services, caller, slug, 200, {})


@router.get("/clients/{slug}/records", summary="List the records", responses=_READS)
def list_records(slug: Slug, services: ServicesDep, caller: Reader) -> RecordList:
    """Return every version of every record of the client, newest first; they outlive the key."""
    with transaction(services.database, write=False) as session:
        client = client_within_reach(session, caller, slug)
        items = record_versions(session, client)
    return RecordList(items=items, links={"client": f"/v1/clients/{client.slug}"})


@router.get("/records/{number}", summary="Read a record", responses=_READS)
def read_record(number: RecordNumber, services: ServicesDep, caller: Reader) -> RecordList:
    """Return every version of one record, newest first: key, template, hash, by whom, downloads."""
    with transaction(services.database, write=False) as session:
        client = _owner_within_reach(session, caller, number)
        items = record_versions(session, client, number)
    links = {"self": f"/v1/records/{number}", "client": f"/v1/clients/{client.slug}"}
    return RecordList(items=items, links=links)


def _owner_within_reach(session: Session, caller: Caller, number: str) -> Client:
    """Return the client whose record it is; the same 404 for unknown and out of reach."""
    plausible = number.isascii() and number.isprintable()
    query = select(Client).join(Record).where(Record.number == number).limit(1)
    client = session.exec(query).first() if plausible else None
    if client is None or not caller.token.reaches(client.slug):
        raise Problem(problems.NOT_FOUND, "There is no record of this number.")
    return client
