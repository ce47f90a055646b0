"""Changes to what an open client's record says: the rows, the record's next version, the audit.

Nothing in AWS changes, so that there is no operation. Nothing is overwritten that a record once
said: a contract with another signer or end is a row of its own, and a record's earlier versions
keep their frozen inputs.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlmodel import Session

from models.base import utc_now
from models.clients import Client, ClientState, Contract, Signer
from service import problems
from service.intents import audit, closed, contract_intent, links_of, refuse_unfinished, sign
from service.outgoing.announce import EventType, announce
from service.problems import Problem
from service.records import RecordGone, RecordOffice
from service.wishes import ContractIntent, Requester


@dataclass(frozen=True)
class UpdateIntent:
    """What a client's data are to be; made by `service.intake.validate_update` only."""

    contract: ContractIntent
    purpose: str
    data_categories: tuple[str, ...]
    language: str
    valid_until: date | None


def refuse_unless_open(session: Session, client: Client) -> None:
    """Raise the 409 Problem for a client without an open area, or that is being worked on.

    One that is suspended may change: more time for one whose validity ended comes before resuming.
    """
    refuse_unfinished(session, client)
    if client.state is ClientState.closed:
        raise closed(client)
    if client.state not in (ClientState.open, ClientState.suspended):
        raise _not_open(client, f"The client {client.slug} is {client.state.value}.")


def update(
    session: Session,
    office: RecordOffice,
    client: Client,
    contract: Contract,
    signer: Signer,
    intent: UpdateIntent,
    requester: Requester,
) -> None:
    """Change the client's data and make the record's next version, with the same key.

    Where nothing is different no row is written; where only the template or the settings are, the
    record still gets its next version.
    """
    changed = _change_client(client, intent)
    changed += _change_contract(session, client, contract, signer, intent.contract)
    session.flush()
    try:
        record = office.revise(session, client, requester.actor_id, always=bool(changed))
    except RecordGone as gone:
        raise _not_open(client, str(gone)) from None
    if record is None:
        return
    client.updated_at = utc_now()
    data = {"changed": changed, "record": record.number, "version": record.version}
    ready = {"record": record.number, "version": record.version}
    announce(session, EventType.record_ready, client, data=ready)
    audit(session, requester, "client.updated", client, data)


def _change_client(client: Client, intent: UpdateIntent) -> list[str]:
    wanted: dict[str, Any] = {
        "purpose": intent.purpose,
        "data_categories": list(intent.data_categories),
        "language": intent.language,
        "valid_until": intent.valid_until,
    }
    changed = [name for name, value in wanted.items() if getattr(client, name) != value]
    for name in changed:
        setattr(client, name, wanted[name])
    if "valid_until" in changed:
        client.expiry_warned_days = None
    return changed


def _change_contract(
    session: Session, client: Client, contract: Contract, signer: Signer, wanted: ContractIntent
) -> list[str]:
    stored = contract_intent(contract, signer)
    different = {
        "contract.ends_on": stored.ends_on != wanted.ends_on,
        "contract.signer": stored.signer.names != wanted.signer.names,
        "contract.signer.email": stored.signer.email != wanted.signer.email,
    }
    changed = [name for name, differs in different.items() if differs]
    if changed:
        sign(session, client, wanted, file_sha256=contract.file_sha256)
    return changed


def _not_open(client: Client, detail: str) -> Problem:
    return Problem(problems.CLIENT_NOT_OPEN, detail, members={"links": links_of(client)})
