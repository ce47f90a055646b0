"""Approvals, decisions and delegations as rows: what the database itself refuses."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from models import Actor, Approval, ApprovalState, Condition, Decision, Delegation, Verdict
from models.approvals import approvals_of, decisions_on
from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationState
from tests.models.factories import make_client, make_operation

TODAY = date(2026, 11, 22)


@pytest.fixture
def operation(engine: Engine, actor: Actor) -> Operation:
    with transaction(engine) as session:
        client = make_client(session, actor)
        return make_operation(session, client, actor, state=OperationState.awaiting_approval)


def make_approval(operation: Operation, rule: str = "jurisdiction", **values: Any) -> Approval:
    return Approval(
        operation_id=operation.id,
        client_id=operation.client_id,
        rule=rule,
        condition=Condition.other_jurisdiction,
        value="US",
        role="JD-005",
        alternate="JD-001",
        requested_by=operation.requested_by,
        expires_at=utc_now() + timedelta(days=14),
        **values,
    )


def make_decision(approval: Approval, actor: Actor, verdict: Verdict) -> Decision:
    return Decision(
        approval_id=approval.id, actor_id=actor.id, verdict=verdict, role="JD-005", reason="Because"
    )


def test_an_approval_is_kept_with_its_decisions(
    engine: Engine, operation: Operation, actor: Actor
) -> None:
    """SP-04: what was asked of whom, and what was decided."""
    with transaction(engine) as session:
        session.add_all([make_approval(operation, "b"), make_approval(operation, "a")])
    with transaction(engine) as session:
        first, second = approvals_of(session, operation)
        assert [first.rule, second.rule] == ["a", "b"]
        assert (first.state, first.needed) == (ApprovalState.waiting, 1)
        session.add(make_decision(first, actor, Verdict.approve))
    with transaction(engine, write=False) as session:
        [decision] = decisions_on(session, first)
        assert (decision.verdict, decision.reason) == (Verdict.approve, "Because")
        assert decisions_on(session, second) == []


def test_a_rule_is_asked_once_for_an_operation(engine: Engine, operation: Operation) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        session.add_all([make_approval(operation), make_approval(operation)])


def test_somebody_decides_once(engine: Engine, operation: Operation, actor: Actor) -> None:
    """SP-04: the database itself counts nobody twice."""
    with transaction(engine) as session:
        approval = make_approval(operation)
        session.add(approval)
        session.add(make_decision(approval, actor, Verdict.approve))
    with pytest.raises(IntegrityError), transaction(engine) as session:
        session.add(make_decision(approval, actor, Verdict.reject))


def test_nobody_is_needed_is_no_approval(engine: Engine, operation: Operation) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        session.add(make_approval(operation, needed=0))


def test_an_older_copy_does_not_overwrite_a_decision(
    sqlite_engine: Engine,
) -> None:
    with transaction(sqlite_engine) as session:
        actor = Actor(name="somebody")
        session.add(actor)
        operation = make_operation(session, make_client(session, actor), actor)
        approval = make_approval(operation)
        session.add(approval)
    with transaction(sqlite_engine) as session:
        session.get_one(Approval, approval.id).state = ApprovalState.rejected
    approval.state = ApprovalState.approved
    with pytest.raises(StaleDataError), transaction(sqlite_engine) as session:
        session.add(approval)


@pytest.mark.parametrize(
    ("first", "last", "revoked", "valid"),
    [
        (-1, 1, False, True),
        (0, 0, False, True),
        (1, 2, False, False),
        (-2, -1, False, False),
        (0, 0, True, False),
    ],
)
def test_a_delegation_holds_on_its_days(first: int, last: int, revoked: bool, valid: bool) -> None:
    """SP-16: both days included, and no more once it is taken back."""
    delegation = Delegation(
        role="JD-005",
        actor_id="a",
        delegated_by="b",
        valid_from=TODAY + timedelta(days=first),
        valid_until=TODAY + timedelta(days=last),
        reason="Holidays",
        revoked_at=utc_now() if revoked else None,
    )
    assert delegation.valid_on(TODAY) is valid


def test_a_delegation_begins_before_it_ends(engine: Engine, actor: Actor) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        session.add(
            Delegation(
                role="JD-005",
                actor_id=actor.id,
                delegated_by=actor.id,
                valid_from=TODAY,
                valid_until=TODAY - timedelta(days=1),
                reason="Holidays",
            )
        )
