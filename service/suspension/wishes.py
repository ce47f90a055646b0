"""What is wished of a client's access, as rows: suspended, or given back.

Each function works in the caller's transaction, with the client's row locked. Nothing here talks
to AWS.
"""

from datetime import date

from sqlmodel import Session

from models.base import utc_now
from models.clients import Client, ClientState, current_contract, move_client
from models.operations import Operation
from service import problems
from service.intents import audit, closed, links_of, refuse_unfinished
from service.problems import Problem
from service.wishes import Requester

CLOSING_BEGUN = "begun"
"""Parameter of a closing that may have changed something in AWS, in this run or an earlier one."""


def suspend(session: Session, client: Client, reason: str, requester: Requester) -> None:
    """Wish that no key of the client works; what goes on at the same time changes nothing of it.

    A suspension that holds already keeps its time and reason. Of a client that is being opened or
    closed the state is left, and the end of that work settles it (`settled_state`).
    """
    if client.state is not ClientState.closed:
        if client.suspended_at is None:
            client.suspended_at, client.suspended_reason = utc_now(), reason
            client.cut_at = None
        if client.state is ClientState.open:
            move_client(client, ClientState.suspended)
        session.flush()
    audit(session, requester, "client.suspended", client, {})


def resume(
    session: Session, client: Client, reason: str, requester: Requester, today: date
) -> None:
    """Wish that the client's keys work again; raises a 409 Problem where that must not be.

    Refused are a client that is closed, is not suspended or is being worked on, and one whose
    validity or contract has ended. One that was resumed and that AWS has not confirmed yet may be
    resumed again.
    """
    if client.state is ClientState.closed:
        raise closed(client)
    refuse_unfinished(session, client)
    _refuse_unsuspended(client)
    _refuse_ended(session, client, today)
    if client.suspended_at is not None:
        # What was begun of the cut may hold, whether AWS confirmed it or not.
        client.cut_at = client.cut_at or client.suspended_at
    client.suspended_at = client.suspended_reason = None
    client.resumed_reason = reason
    if client.state is ClientState.suspended:
        move_client(client, ClientState.open)
    session.flush()
    audit(session, requester, "client.resumed", client, {})


def settled_state(client: Client) -> ClientState:
    """Return where the end of an opening leaves the client."""
    return ClientState.open if client.suspended_at is None else ClientState.suspended


def state_before_closing(client: Client, operation: Operation) -> ClientState:
    """Return where a closing that was cancelled leaves the client: as it was, while nothing of it
    had begun.
    """
    before = ClientState(operation.parameters.get("from", ClientState.failed.value))
    if operation.parameters.get(CLOSING_BEGUN) or before is ClientState.closing:
        return ClientState.failed
    # Suspended meanwhile, it does not go back to being open.
    return settled_state(client) if before is ClientState.open else before


def forget_suspension(client: Client) -> None:
    """Forget the suspension of a client that is closed: its keys are gone for ever."""
    client.suspended_at = client.suspended_reason = client.cut_at = None


def validity_ended(client: Client, today: date) -> bool:
    """Tell whether the client's access has to have ended: its key stops on the day itself."""
    return client.valid_until is not None and client.valid_until <= today


def _refuse_unsuspended(client: Client) -> None:
    if client.suspended_at is None and client.cut_at is None:
        raise Problem(
            problems.CLIENT_NOT_SUSPENDED,
            f"The client {client.slug} is {client.state.value} and not suspended.",
            members={"links": links_of(client)},
        )


def _refuse_ended(session: Session, client: Client, today: date) -> None:
    if validity_ended(client, today):
        raise Problem(
            problems.VALIDITY_ENDED,
            f"The access of {client.slug} ended on {client.valid_until}; today is {today}.",
            members={"links": links_of(client)},
        )
    contract = current_contract(session, client.id)
    if contract is not None and contract.ends_on is not None and contract.ends_on < today:
        raise Problem(
            problems.CONTRACT_ENDED,
            f"The contract of {client.slug} ended on {contract.ends_on}; today is {today}.",
            members={"links": links_of(client)},
        )
