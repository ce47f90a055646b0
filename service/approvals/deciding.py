"""One person's decision on one approval, and what follows from it (SP-04, SP-16)."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from models.actors import Actor
from models.approvals import (
    Approval,
    ApprovalState,
    Decision,
    Verdict,
    approvals_of,
    decisions_on,
)
from models.base import utc_now
from models.clients import Client, current_contract
from models.operations import EventKind, Failure, Operation, add_event
from service import problems
from service.approvals.asking import waiting_for
from service.approvals.bench import Bench, Capacity
from service.approvals.ending import REJECTED, close, locked, refuse, release
from service.approvals.trail import tell
from service.intake import refuse_outdated
from service.problems import Problem
from service.settings import Settings
from service.wishes import Requester

MIN_REASON, MAX_REASON = 3, 500
"""How many characters a reason has."""


@dataclass(frozen=True)
class Wish:
    """A person's wish to decide an approval; `by` is who says so, mostly the same person."""

    approval_id: str
    actor: Actor
    verdict: Verdict
    reason: str
    by: Requester


def decide(session: Session, settings: Settings, wish: Wish) -> Operation:
    """Write the decision down and return the operation; dispatch that after the commit if pending.

    The same decision given again changes nothing. Raises a Problem: 404 for an unknown approval,
    403 for who may not decide it, 409 for one that has ended, and the 409 of the gates when the
    contract has ended meanwhile.
    """
    known = session.get(Approval, wish.approval_id)
    if known is None:
        raise Problem(problems.NOT_FOUND, "There is no approval of this id.")
    operation, client = locked(session, known.operation_id)
    approval = session.get_one(Approval, known.id, populate_existing=True)
    earlier = {one.actor_id: one for one in decisions_on(session, approval)}
    mine = earlier.get(wish.actor.id)
    if mine is not None and mine.verdict is wish.verdict:
        return operation
    now = utc_now()
    _refuse_ended(approval, now, decided=mine is not None)
    today = now.astimezone(settings.zone).date()
    capacity = _capacity(Bench.on(session, today), approval, wish.actor)
    _write(session, approval, operation, wish, capacity)
    if wish.verdict is Verdict.reject:
        _reject(session, approval, operation, client, wish, capacity)
    else:
        given = sum(one.verdict is Verdict.approve for one in earlier.values()) + 1
        _approve(session, approval, operation, client, wish, capacity, given, today)
    return operation


def _refuse_ended(approval: Approval, now: datetime, *, decided: bool) -> None:
    state = approval.state.value
    if approval.state is ApprovalState.waiting:
        if decided:
            state = "decided by you already, the other way"
        elif now < approval.expires_at:
            return
        else:
            state = "expired"
    raise Problem(
        problems.APPROVAL_ENDED,
        f"This approval is {state}.",
        members={"links": links_of(approval)},
    )


def _capacity(bench: Bench, approval: Approval, actor: Actor) -> Capacity:
    if actor.id == approval.requested_by:
        raise _may_not(approval, "Nobody approves or rejects their own request.")
    deciders = bench.deciders(approval, approval.requested_by)
    if actor.id not in deciders:
        roles = {capacity.role for capacity in deciders.values()} or {approval.role}
        raise _may_not(
            approval,
            f"This is decided by {' or '.join(sorted(roles))}, in person or by a delegation that "
            "holds today.",
        )
    return deciders[actor.id]


def _may_not(approval: Approval, detail: str) -> Problem:
    return Problem(problems.MAY_NOT_DECIDE, detail, members={"links": links_of(approval)})


def links_of(approval: Approval) -> dict[str, str]:
    """Return links to an approval and to the operation that waits for it."""
    return {
        "approval": f"/v1/approvals/{approval.id}",
        "operation": f"/v1/operations/{approval.operation_id}",
    }


def _write(
    session: Session, approval: Approval, operation: Operation, wish: Wish, capacity: Capacity
) -> None:
    session.add(
        Decision(
            approval_id=approval.id,
            actor_id=wish.actor.id,
            verdict=wish.verdict,
            role=capacity.role,
            delegation_id=capacity.delegation_id,
            reason=wish.reason,
        )
    )
    data = {"message": "approval decided", "approval": approval.id, "rule": approval.rule}
    add_event(
        operation, EventKind.log, data | {"verdict": wish.verdict.value, "role": capacity.role}
    )


def _reject(
    session: Session,
    approval: Approval,
    operation: Operation,
    client: Client,
    wish: Wish,
    capacity: Capacity,
) -> None:
    close(approval, ApprovalState.rejected)
    session.flush()
    _tell(session, "approval.rejected", approval, wish, capacity)
    failure = Failure(
        code=REJECTED,
        detail=f"Rejected for {client.slug} by {capacity.role} (rule {approval.rule}): "
        f"{wish.reason} Nothing was made.",
        next_step="Send another request that answers the reason, if it is still wanted.",
    )
    refuse(session, operation, client, wish.by, failure)


def _approve(
    session: Session,
    approval: Approval,
    operation: Operation,
    client: Client,
    wish: Wish,
    capacity: Capacity,
    given: int,
    today: date,
) -> None:
    if given >= approval.needed:
        close(approval, ApprovalState.approved)
    session.flush()
    left = [one for one in approvals_of(session, operation) if one.state is ApprovalState.waiting]
    operation.waiting_for = waiting_for(left)
    if not left:
        contract = current_contract(session, client.id)
        assert contract is not None  # every client is written together with a contract
        # What held at the request may have ended while it waited.
        refuse_outdated(client, contract, today)
    _tell(session, "approval.approved", approval, wish, capacity)
    if not left:
        release(session, operation, client, wish.by)


def _tell(
    session: Session, action: str, approval: Approval, wish: Wish, capacity: Capacity
) -> None:
    tell(
        session,
        wish.by,
        action,
        approval,
        decided_by=wish.actor.id,
        decided_as=capacity.role,
        delegation_id=capacity.delegation_id,
    )
