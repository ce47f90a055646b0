"""Hands out records: protected PDFs, each download in the audit, never stored or cached."""

from anyio.to_thread import run_sync
from fastapi.responses import Response
from sqlmodel import Session

from models.clients import Client
from models.database import transaction
from service import problems
from service.context import Services
from service.http.dependencies import Caller
from service.http.negotiation import PDF
from service.http.reading import client_within_reach
from service.problems import Problem
from service.records import IssuedRecord, RecordGone, RecordNotReady, note_issue


async def record_answer(
    services: Services, caller: Caller, slug: str, status: int, headers: dict[str, str]
) -> Response:
    """Return the client's newest record as an attachment, and the form of its password in a
    header; raises 409 before it exists, 410 after.
    """
    issued = await run_sync(issue, services, caller, slug)
    named = {
        "Content-Disposition": f'attachment; filename="{issued.filename}"',
        "Handover-Record": issued.number,
        "Handover-Record-Version": str(issued.version),
        "Handover-Password-Rule": issued.password_rule,
    }
    if issued.password_warning is not None:
        named["Handover-Password-Warning"] = issued.password_warning
    return Response(issued.pdf, status, headers=headers | named, media_type=PDF)


def issue(services: Services, caller: Caller, slug: str) -> IssuedRecord:
    """Render the record and note the download; nothing leaves unless the note is committed
    (RX-17).
    """
    # Rendering takes tens of milliseconds: the writing transaction must not last as long.
    with transaction(services.database, write=False) as session:
        client = client_within_reach(session, caller, slug)
        issued = _render(services, session, client)
    with transaction(services.database) as session:
        note_issue(session, client, issued, caller.requester, token_id=caller.token.id)
    return issued


def _render(services: Services, session: Session, client: Client) -> IssuedRecord:
    address = f"/v1/clients/{client.slug}"
    links = {"client": address, "records": f"{address}/records"}
    try:
        return services.records.issue_pdf(session, client)
    except RecordNotReady as error:
        raise Problem(
            problems.RECORD_NOT_READY, str(error), members={"links": {"client": address}}
        ) from None
    except RecordGone as error:
        raise Problem(problems.RECORD_GONE, str(error), members={"links": links}) from None
