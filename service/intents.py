"""Turns a wish into rows: client, contract, signer, planned key, operation and audit event.

Each `begin_…` function works in the caller's transaction and returns the operation; the caller
commits and then tells the dispatcher. Nothing here talks to AWS.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlmodel import Session, col, select

from models.access_keys import AccessKey
from models.audit import append_audit
from models.audit_entry import AuditEntry
from models.base import is_new, utc_now
from models.clients import (
    Client,
    ClientState,
    Contract,
    Signer,
    current_contract,
    find_client,
    move_client,
    replace_contract,
)
from models.names import entity_key, reference_key, slug_key
from models.operations import (
    EventKind,
    Operation,
    OperationKind,
    OperationState,
    Priority,
    add_event,
    unfinished_operation,
)
from service import problems
from service.approvals.asking import ask, wanted_approvals
from service.machine import refuse_unfit
from service.problems import Problem
from service.rotation.endings import delete
from service.settings import Settings
from service.wishes import ContractIntent, OpenIntent, ReopenIntent, Requester, SignerIntent

Admission = Callable[[Session], None]
"""Called before a new area is written; raises a Problem when there is no room for another user."""


def begin_open(
    session: Session,
    settings: Settings,
    intent: OpenIntent,
    requester: Requester,
    admit: Admission,
) -> Operation:
    """Write the wish to open an area; raises a 409 Problem when the slug is not free for it.

    A client whose opening failed is opened again by the same request.
    """
    client = find_client(session, intent.slug, for_update=True)
    if client is not None:
        _refuse_unless_failed(session, client, intent)
        refuse_area(session, settings, admit)
        _renew(client, intent)
        client.legal_name = intent.legal_name
    else:
        refuse_area(session, settings, admit)
        client = _new_client(settings, intent, requester)
        session.add(client)
    contract = sign(session, client, intent.contract)
    return _begin_area(session, settings, client, contract, OperationKind.open, requester)


def begin_reopen(
    session: Session,
    settings: Settings,
    client: Client,
    intent: ReopenIntent,
    requester: Requester,
    admit: Admission,
) -> Operation:
    """Write the wish to reopen a closed or failed client; raises a 409 Problem for any other."""
    refuse_unfinished(session, client)
    if client.state not in (ClientState.closed, ClientState.failed):
        raise Problem(
            problems.CLIENT_NOT_CLOSED,
            f"The client {client.slug} is {client.state.value}; there is nothing to reopen.",
            members={"links": links_of(client)},
        )
    refuse_area(session, settings, admit)
    _renew(client, intent)
    if intent.contract is not None:
        contract: Contract | None = sign(session, client, intent.contract)
    else:
        contract = current_contract(session, client.id)
    assert contract is not None  # every client is written together with a contract
    return _begin_area(session, settings, client, contract, OperationKind.reopen, requester)


def begin_close(session: Session, client: Client, reason: str, requester: Requester) -> Operation:
    """Write the wish to close an area; raises a 409 Problem when it is closed or being worked
    on.
    """
    refuse_unfinished(session, client)
    if client.state is ClientState.closed:
        raise closed(client)
    # What it goes back to when the closing is cancelled before it has begun.
    before = {"from": client.state.value}
    if client.state is not ClientState.closing:
        move_client(client, ClientState.closing)
    # Keys have to be off soon, also while a whole list of clients is being opened.
    return begin_operation(
        session,
        client,
        OperationKind.close,
        requester,
        before,
        reason=reason,
        priority=Priority.urgent,
    )


def contract_intent(contract: Contract, signer: Signer) -> ContractIntent:
    """Return a stored contract in the form of a wish, to compare it with one or to change it."""
    return ContractIntent(
        kind=contract.kind,
        reference=contract.reference,
        signed_on=contract.signed_on,
        ends_on=contract.ends_on,
        jurisdiction=contract.jurisdiction,
        signer=SignerIntent(
            email=signer.email,
            first_name=signer.first_name,
            last_name=signer.last_name,
            full_name=signer.full_name,
        ),
    )


def refuse_unfinished(session: Session, client: Client) -> None:
    """Raise the 409 that links to the client's unfinished operation, if it has one."""
    running = unfinished_operation(session, client.id)
    if running is not None:
        raise Problem(
            problems.OPERATION_IN_PROGRESS,
            f"The client {client.slug} has an unfinished operation ({running.kind.value}, "
            f"{running.state.value}); wait until it ends.",
            members={"links": links_of(client, running)},
            headers={"Retry-After": "1"},
        )


def closed(client: Client) -> Problem:
    """Return the 409 for a client that is closed, pointing to reopening."""
    return Problem(
        problems.CLIENT_CLOSED,
        f"The area of {client.slug} is closed.",
        members={"links": links_of(client) | {"reopen": f"/v1/clients/{client.slug}/reopen"}},
    )


def links_of(client: Client, operation: Operation | None = None) -> dict[str, str]:
    """Return links to a client and to an operation of it."""
    links = {"client": f"/v1/clients/{client.slug}"}
    return links | ({"operation": f"/v1/operations/{operation.id}"} if operation else {})


def next_generation(keys: Sequence[AccessKey]) -> int:
    """Return the generation of the key that would come next."""
    return max((key.generation for key in keys), default=0) + 1


def keys_of(session: Session, client: Client) -> list[AccessKey]:
    """Return all keys that the client has or had, oldest first."""
    query = select(AccessKey).where(AccessKey.client_id == client.id)
    return list(session.exec(query.order_by(col(AccessKey.generation))))


def refuse_area(session: Session, settings: Settings, admit: Admission) -> None:
    """Raise the Problem that says why no area can be made now: this machine's fault, or no room."""
    refuse_unfit(settings)
    admit(session)


def _refuse_unless_failed(session: Session, client: Client, intent: OpenIntent) -> None:
    if client.entity_key != entity_key(intent.legal_name):
        raise Problem(
            problems.SLUG_TAKEN,
            f"{intent.slug} was asked for, and {client.slug} belongs to another legal entity.",
            members={"requested_slug": intent.slug, "taken_slug": client.slug},
        )
    if client.state is ClientState.closed:
        raise closed(client)
    operation = unfinished_operation(session, client.id)
    if client.state is not ClientState.failed or operation is not None:
        operation = operation or latest_operation(session, client)
        raise Problem(
            problems.CLIENT_EXISTS,
            f"The client {client.slug} is {client.state.value} already.",
            members={"links": links_of(client, operation)},
        )


def latest_operation(session: Session, client: Client) -> Operation | None:
    """Return the client's newest operation."""
    query = select(Operation).where(Operation.client_id == client.id)
    return session.exec(query.order_by(col(Operation.created_at).desc()).limit(1)).first()


def _new_client(settings: Settings, intent: OpenIntent, requester: Requester) -> Client:
    return Client(
        slug=intent.slug,
        slug_key=slug_key(intent.slug),
        legal_name=intent.legal_name,
        entity_key=entity_key(intent.legal_name),
        purpose=intent.purpose,
        data_categories=list(intent.data_categories),
        special_category=intent.special_category,
        profile=intent.profile,
        language=intent.language,
        valid_until=intent.valid_until,
        owner_actor_id=requester.actor_id,
        bucket=settings.bucket,
        prefix=f"{intent.slug}/",
        region=settings.region,
        user_name=intent.slug,
    )


def _renew(client: Client, intent: OpenIntent | ReopenIntent) -> None:
    client.purpose = intent.purpose
    client.data_categories = list(intent.data_categories)
    client.special_category = intent.special_category
    client.profile = intent.profile
    client.language = intent.language
    client.valid_until = intent.valid_until
    client.expiry_warned_days = None
    move_client(client, ClientState.opening)


def sign(
    session: Session, client: Client, intent: ContractIntent, *, file_sha256: str | None = None
) -> Contract:
    """Write a contract with its signer as the client's current one; the one before stays."""
    contract = Contract(
        client_id=client.id,
        kind=intent.kind,
        reference=intent.reference,
        reference_key=reference_key(intent.reference),
        signed_on=intent.signed_on,
        ends_on=intent.ends_on,
        jurisdiction=intent.jurisdiction,
        file_sha256=file_sha256,
    )
    if is_new(client):
        session.add(contract)
    else:
        replace_contract(session, contract)
    signer = intent.signer
    session.add(
        Signer(
            contract_id=contract.id,
            first_name=signer.first_name,
            last_name=signer.last_name,
            full_name=signer.full_name,
            email=signer.email,
        )
    )
    return contract


def plan_key(session: Session, client: Client) -> dict[str, Any]:
    """Plan the key of the next generation; return what the operation's parameters say of it."""
    earlier = [] if is_new(client) else keys_of(session, client)
    for key in earlier:
        # Wished state: no earlier key comes back to life with the area, whatever was left of it.
        delete(key, utc_now())
    key = AccessKey(client_id=client.id, generation=next_generation(earlier))
    session.add(key)
    return {"access_key_row_id": key.id, "generation": key.generation}


def _begin_area(
    session: Session,
    settings: Settings,
    client: Client,
    contract: Contract,
    kind: OperationKind,
    requester: Requester,
) -> Operation:
    """Write the operation that makes an area; it waits where somebody has to approve it (SP-04).

    What is asked for is read from the rows, so that no way in can leave an approval out.
    """
    plan = plan_key(session, client)
    wanted = wanted_approvals(session, settings, client, contract, requester)
    state = OperationState.awaiting_approval if wanted else OperationState.pending
    operation = begin_operation(session, client, kind, requester, plan, state=state)
    ask(session, operation, client, wanted, requester)
    return operation


def begin_operation(
    session: Session,
    client: Client,
    kind: OperationKind,
    requester: Requester,
    parameters: dict[str, Any],
    *,
    reason: str | None = None,
    state: OperationState = OperationState.pending,
    priority: Priority = Priority.normal,
) -> Operation:
    """Write an operation with its first event and the audit's; the wish itself is in the rows."""
    operation = Operation(
        client_id=client.id,
        kind=kind,
        state=state,
        requested_by=requester.actor_id,
        reason=reason,
        parameters=parameters,
        priority=priority,
    )
    session.add(operation)
    add_event(operation, EventKind.state, {"from": None, "to": state.value})
    audit(
        session,
        requester,
        f"client.{kind.value}_requested",
        client,
        {"operation_id": operation.id, "profile": client.profile.value},
    )
    return operation


def audit(
    session: Session, requester: Requester, action: str, client: Client, data: dict[str, Any]
) -> None:
    """Append to the audit chain what the requester does to the client."""
    append_audit(
        session,
        AuditEntry(
            actor_id=requester.actor_id,
            action=action,
            object_type="client",
            object_id=client.id,
            client_id=client.id,
            source_ip=requester.source_ip,
            request_id=requester.audited_request_id,
            data=data,
        ),
    )
