"""`/v1/clients/{slug}/record…`: the protected PDF, and what is known of the records there have
been.
"""

from fastapi import APIRouter
from fastapi.responses import Response

from models.database import transaction
from service import problems
from service.http.dependencies import Reader, RecordReader, ServicesDep
from service.http.documents import RecordList
from service.http.openapi import PDF_CONTENT, Responses, documented
from service.http.parameters import Slug
from service.http.reading import client_within_reach, record_documents
from service.http.record_answers import record_answer
from service.intents import keys_of

_PDF: Responses = {200: {"description": "The protected PDF.", "content": PDF_CONTENT}}

router = APIRouter(prefix="/v1/clients", tags=["records"])


@router.get(
    "/{slug}/record.pdf",
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


@router.get(
    "/{slug}/records",
    summary="List the records",
    responses=documented(
        problems.NOT_FOUND, problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER
    ),
)
def list_records(slug: Slug, services: ServicesDep, caller: Reader) -> RecordList:
    """Return number, version and key of every record of the client, newest first; they outlive the
    key.
    """
    with transaction(services.database, write=False) as session:
        client = client_within_reach(session, caller, slug)
        items = record_documents(session, client, keys_of(session, client))
    return RecordList(items=items, links={"client": f"/v1/clients/{client.slug}"})
