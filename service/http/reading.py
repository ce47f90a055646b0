"""Reads rows and makes documents of them."""

from typing import Any

from sqlmodel import Session, select

from models.access_keys import AccessKey
from models.clients import Client, ClientState, Contract, Signer, current_contract, find_client
from models.operations import (
    Operation,
    OperationKind,
    OperationState,
    unfinished_operation,
)
from models.stack_outputs import StackOutput
from service import problems
from service.http.dependencies import Caller
from service.http.documents import (
    AreaDocument,
    ClientDocument,
    ClientSummary,
    ContractDocument,
    FailureDocument,
    KeyDocument,
    OperationDocument,
    Progress,
    RemainingDocument,
    SignerDocument,
    SuspendedDocument,
)
from service.http.record_reading import record_documents
from service.intents import keys_of
from service.problems import Problem


def client_within_reach(
    session: Session, caller: Caller, slug: str, *, for_update: bool = False
) -> Client:
    """Return the client, or raise the same 404 for one that is unknown or out of the token's
    reach.
    """
    # Text that cannot be a slug (a NUL, say) never gets as far as the database.
    plausible = slug.isascii() and slug.isprintable() and caller.token.reaches(slug)
    client = find_client(session, slug, for_update=for_update) if plausible else None
    if client is None:
        raise Problem(problems.NOT_FOUND, "There is no client of this slug.")
    return client


def operation_within_reach(
    session: Session, caller: Caller, operation_id: str
) -> tuple[Operation, Client]:
    """Return the operation and its client, or raise the same 404 for unknown and out of reach."""
    plausible = operation_id.isascii() and operation_id.isalnum() and len(operation_id) <= 32
    operation = session.get(Operation, operation_id) if plausible else None
    client = session.get_one(Client, operation.client_id) if operation else None
    if operation is None or client is None or not caller.token.reaches(client.slug):
        raise Problem(problems.NOT_FOUND, "There is no operation of this id.")
    return operation, client


def operation_document(operation: Operation, client: Client) -> OperationDocument:
    """Return the document of an operation."""
    address = f"/v1/operations/{operation.id}"
    waits = operation.state is OperationState.awaiting_approval
    approvals = {"approvals": f"/v1/approvals?operation={operation.id}"} if waits else {}
    reopening = operation.kind is OperationKind.reopen
    return OperationDocument(
        id=operation.id,
        kind=operation.kind,
        state=operation.state,
        client=client.slug,
        step=operation.step,
        progress=Progress(done=operation.progress_done, total=operation.progress_total),
        failure=_failure(operation),
        reason=operation.reason,
        requested_by=operation.requested_by,
        attempts=operation.attempts,
        run=operation.run,
        waiting_for=operation.waiting_for,
        deadline_at=operation.deadline_at,
        cancel_requested_at=operation.cancel_requested_at,
        created_at=operation.created_at,
        started_at=operation.started_at,
        finished_at=operation.finished_at,
        remaining=_remaining(client) if reopening else None,
        links={
            "self": address,
            "events": f"{address}/events",
            "client": f"/v1/clients/{client.slug}",
        }
        | approvals,
    )


def client_document(session: Session, client: Client) -> ClientDocument:
    """Return the whole document of a client."""
    contract = current_contract(session, client.id)
    keys = keys_of(session, client)
    return ClientDocument(
        slug=client.slug,
        legal_name=client.legal_name,
        state=client.state,
        purpose=client.purpose,
        data_categories=client.data_categories,
        special_category=client.special_category,
        classification=client.classification,
        profile=client.profile,
        language=client.language,
        valid_until=client.valid_until,
        owner=client.owner_actor_id,
        suspended=suspended_document(client),
        contract=_contract(session, contract) if contract else None,
        area=_area(client),
        keys=[_key(key) for key in keys],
        records=record_documents(session, client),
        outputs=_outputs(session, client),
        remaining=_remaining(client),
        created_at=client.created_at,
        updated_at=client.updated_at,
        links=_links(client, unfinished_operation(session, client.id)),
    )


def suspended_document(client: Client) -> SuspendedDocument | None:
    """Return the document of the client's suspension, None where there is none."""
    if client.suspended_at is None:
        return None
    return SuspendedDocument(
        at=client.suspended_at, reason=client.suspended_reason, cut_at=client.cut_at
    )


def client_summary(client: Client, contract: Contract | None) -> ClientSummary:
    """Return the document of a client as lists have it."""
    return ClientSummary(
        slug=client.slug,
        legal_name=client.legal_name,
        state=client.state,
        profile=client.profile,
        contract_reference=contract.reference if contract else None,
        valid_until=client.valid_until,
        created_at=client.created_at,
        updated_at=client.updated_at,
        links={"self": f"/v1/clients/{client.slug}"},
    )


def _failure(operation: Operation) -> FailureDocument | None:
    cancelled = operation.state is OperationState.cancelled
    if operation.failure_code is None and not cancelled:
        return None
    return FailureDocument(
        code=operation.failure_code or "Cancelled",
        detail=operation.failure_detail or "The operation was cancelled.",
        rolled_back=operation.rolled_back,
        next_step=operation.next_step,
    )


def _contract(session: Session, contract: Contract) -> ContractDocument:
    signer = session.exec(select(Signer).where(Signer.contract_id == contract.id)).first()
    return ContractDocument(
        kind=contract.kind,
        our_role=contract.our_role,
        reference=contract.reference,
        signed_on=contract.signed_on,
        ends_on=contract.ends_on,
        jurisdiction=contract.jurisdiction,
        signer=SignerDocument.model_validate(signer) if signer else None,
    )


def _area(client: Client) -> AreaDocument:
    return AreaDocument(
        bucket=client.bucket,
        prefix=client.prefix,
        upload_path=f"{client.prefix}images/",
        region=client.region,
        user_name=client.user_name,
    )


def _key(key: AccessKey) -> KeyDocument:
    return KeyDocument(
        key_id=key.access_key_id,
        generation=key.generation,
        status=key.status,
        created_at=key.created_at,
        proven_at=key.proven_at,
        turn_off_at=key.turn_off_at,
        delete_at=key.delete_at,
        ended_at=key.ended_at,
    )


def _outputs(session: Session, client: Client) -> dict[str, Any]:
    query = select(StackOutput).where(StackOutput.client_id == client.id)
    return {output.name: output.value for output in session.exec(query)}


def _remaining(client: Client) -> RemainingDocument | None:
    if client.remaining_objects is None or client.remaining_bytes is None:
        return None
    return RemainingDocument(
        objects=client.remaining_objects,
        bytes=client.remaining_bytes,
        counted_at=client.remaining_counted_at,
    )


def _links(client: Client, running: Operation | None) -> dict[str, str]:
    address = f"/v1/clients/{client.slug}"
    links = {"self": address, "audit": f"{address}/audit", "records": f"{address}/records"}
    links["operations"] = f"/v1/operations?client={client.slug}"
    if running is not None:
        links["operation"] = f"/v1/operations/{running.id}"
    if client.state in (ClientState.open, ClientState.suspended):
        links |= {"record": f"{address}/record.pdf", "preview_close": f"{address}/preview?of=close"}
        links |= {"rotate": f"{address}/rotate"}
    if client.state is not ClientState.closed:
        verb = "suspend" if client.suspended_at is None else "resume"
        links[verb] = f"{address}/{verb}"
    if client.state in (ClientState.closed, ClientState.failed):
        links |= {"reopen": f"{address}/reopen", "preview_open": f"{address}/preview?of=open"}
    return links
