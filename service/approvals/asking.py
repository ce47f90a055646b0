"""Asking for approvals when an opening is requested, or refusing what nobody could approve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlmodel import Session

from models.approvals import Approval, ApprovalState, Condition, approvals_of
from models.base import utc_now
from models.clients import Client, Contract
from models.operations import EventKind, Operation, add_event
from service import problems
from service.approvals.bench import Bench
from service.approvals.conditions import conditions_of
from service.approvals.rules import Rule
from service.approvals.trail import tell
from service.outgoing.announce import EventType, announce
from service.problems import Problem
from service.settings import Settings
from service.wishes import Requester


@dataclass(frozen=True)
class Wanted:
    """An approval that a wish needs: the rule, what met its condition, until when to decide."""

    rule: Rule
    value: str | None
    expires_at: datetime


def wanted_approvals(
    session: Session, settings: Settings, client: Client, contract: Contract, requester: Requester
) -> list[Wanted]:
    """Return what has to be approved before the client's area may be made.

    Raises the 409 Problem that names each rule that nobody could satisfy, and who is missing.
    """
    met = conditions_of(settings, client, contract)
    if not met:
        return []
    now = utc_now()
    expires_at = _expiry(settings, client, contract, now)
    wanted = [
        Wanted(rule, value, expires_at)
        for condition, value in met.items()
        for rule in settings.approval_rules.when(condition)
    ]
    bench = Bench.on(session, now.astimezone(settings.zone).date())
    _refuse_impossible(bench, client, wanted, requester.actor_id)
    return wanted


def ask(
    session: Session,
    operation: Operation,
    client: Client,
    wanted: Sequence[Wanted],
    requester: Requester,
) -> None:
    """Write the approvals that the operation waits for, its events and the audit.

    The operation is `awaiting_approval` already.
    """
    asked = [_approval(operation, client, one) for one in wanted]
    operation.waiting_for = waiting_for(asked)
    session.add_all(asked)
    session.flush()
    for approval in asked:
        data = {"message": "approval requested", "approval": approval.id, "rule": approval.rule}
        add_event(operation, EventKind.log, data | {"role": approval.role})
    for approval in asked:
        data = {"approval": approval.id, "rule": approval.rule, "role": approval.role}
        announce(session, EventType.approval_requested, client, operation=operation, data=data)
    for approval in asked:
        tell(session, requester, "approval.requested", approval)


def refuse_unapproved(
    session: Session, settings: Settings, operation: Operation, client: Client, contract: Contract
) -> None:
    """Raise the 409 unless every condition that the client meets was approved for the operation.

    For an operation that runs again: the rules may be others than when it was asked for.
    """
    approved = {
        approval.condition
        for approval in approvals_of(session, operation)
        if approval.state is ApprovalState.approved
    }
    missing = sorted(set(conditions_of(settings, client, contract)) - approved)
    if missing:
        raise Problem(
            problems.APPROVAL_REQUIRED,
            f"{client.slug} cannot be opened by running this again: nobody was asked about "
            f"{', '.join(missing)}.",
        )


def waiting_for(approvals: Sequence[Approval]) -> str | None:
    """Return in plain words what an operation waits for, None without any."""
    return "; ".join(map(described, approvals)) or None


def described(approval: Approval) -> str:
    """Return in plain words who has to approve, and why."""
    number = "" if approval.needed == 1 else f"{approval.needed} × "
    reason = _REASONS[approval.condition].format(approval.value)
    return f"approval by {number}{approval.role}: {reason}"


_REASONS = {
    Condition.other_jurisdiction: "the jurisdiction {} is outside the EU and EEA",
    Condition.special_category: "special categories of data",
    Condition.profile: "the profile {} is not one of those allowed without asking",
}


def _approval(operation: Operation, client: Client, wanted: Wanted) -> Approval:
    return Approval(
        operation_id=operation.id,
        client_id=client.id,
        rule=wanted.rule.name,
        condition=wanted.rule.when,
        value=wanted.value,
        role=wanted.rule.role,
        needed=wanted.rule.approvers,
        alternate=wanted.rule.alternate,
        requested_by=operation.requested_by,
        expires_at=wanted.expires_at,
    )


def _expiry(settings: Settings, client: Client, contract: Contract, now: datetime) -> datetime:
    """Return until when to decide: no later than the contract and the key's days last (SP-07)."""
    moments = [now + timedelta(days=settings.approval_days)]
    if contract.ends_on is not None:
        moments.append(_midnight(settings, contract.ends_on + timedelta(days=1)))
    if client.valid_until is not None:
        moments.append(_midnight(settings, client.valid_until))
    return min(moments)


def _midnight(settings: Settings, day: date) -> datetime:
    return datetime.combine(day, time.min, settings.zone)


def _refuse_impossible(
    bench: Bench, client: Client, wanted: Sequence[Wanted], requested_by: str
) -> None:
    missing = [
        {"rule": one.rule.name, "role": role, "missing": short}
        for one in wanted
        for role, short in _short_of(bench, one.rule, requested_by)
    ]
    if missing:
        listed = "; ".join(f"{m['rule']}: {m['missing']} × {m['role']}" for m in missing)
        raise Problem(
            problems.NOBODY_CAN_APPROVE,
            f"The request for {client.slug} needs approvals that nobody can give. Missing: "
            f"{listed}. Nobody approves their own request. Nothing was made.",
            members={"missing": missing},
        )


def _short_of(bench: Bench, rule: Rule, requested_by: str) -> list[tuple[str, int]]:
    """Return which role has how many people too few: the alternate's, where that decides."""
    short = rule.approvers - len(bench.deciders(rule, requested_by))
    if short <= 0:
        return []
    return [(rule.alternate if bench.holds(requested_by, rule.role) else rule.role, short)]
