"""Hands out records: protected PDFs, each download in the audit, never stored or cached."""

from anyio.to_thread import run_sync
from fastapi.responses import Response
from sqlmodel import Session

from models.audit import append_audit
from models.audit_entry import AuditEntry
from models.clients import Client, ClientState
from models.database import transaction
from service import problems
from service.context import Services
from service.http.dependencies import Caller
from service.http.negotiation import PDF
from service.http.reading import client_within_reach
from service.problems import Problem
from service.records import IssuedRecord, RecordNotReady


async def record_answer(
    services: Services, caller: Caller, slug: str, status: int, headers: dict[str, str]
) -> Response:
    """Return the client's newest record as an attachment; raises 409 before it exists, 410
    after.
    """
    issued = await run_sync(issue, services, caller, slug)
    disposition = f'attachment; filename="{issued.filename}"'
    named = {"Content-Disposition": disposition, "Handover-Record": issued.number}
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
        append_audit(session, _download(caller, client, issued))
    return issued


def _render(services: Services, session: Session, client: Client) -> IssuedRecord:
    if client.state in (ClientState.opening, ClientState.failed):
        raise Problem(
            problems.RECORD_NOT_READY,
            f"The area of {client.slug} is {client.state.value}: it has no working key yet.",
            members={"links": {"client": f"/v1/clients/{client.slug}"}},
        )
    if client.state in (ClientState.closing, ClientState.closed):
        raise _gone(client, f"The area of {client.slug} is {client.state.value}: its key is dead.")
    try:
        return services.records.issue_pdf(session, client)
    except RecordNotReady:
        raise _gone(client, f"The secret of {client.slug}'s key is no longer kept.") from None


def _gone(client: Client, detail: str) -> Problem:
    address = f"/v1/clients/{client.slug}"
    links = {"client": address, "records": f"{address}/records"}
    return Problem(problems.RECORD_GONE, detail, members={"links": links})


def _download(caller: Caller, client: Client, issued: IssuedRecord) -> AuditEntry:
    requester = caller.requester
    return AuditEntry(
        actor_id=requester.actor_id,
        action="record.downloaded",
        object_type="record",
        object_id=issued.number,
        client_id=client.id,
        source_ip=requester.source_ip,
        request_id=requester.audited_request_id,
        data={"version": issued.version, "token_id": caller.token.id},
    )
