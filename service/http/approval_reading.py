"""Reads approvals and makes documents of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from models.actors import Actor
from models.approvals import Approval, ApprovalState, Decision, Verdict
from models.clients import Client
from models.names import slug_key
from models.operations import Operation
from service import problems
from service.approvals.bench import Bench
from service.approvals.deciding import links_of
from service.context import Services
from service.http.approval_documents import DecisionDocument, OperationApprovalDocument
from service.http.dependencies import Caller
from service.problems import Problem


@dataclass(frozen=True)
class Docket:
    """An approval with the operation that waits for it and the operation's client."""

    approval: Approval
    operation: Operation
    client: Client


def dockets(caller: Caller) -> Any:
    """Return the query for all approvals within the token's reach."""
    query = (
        select(Approval, Operation, Client)
        .join(Operation, col(Operation.id) == col(Approval.operation_id))
        .join(Client, col(Client.id) == col(Approval.client_id))
    )
    if caller.token.slugs is not None:
        within = [slug_key(slug) for slug in caller.token.slugs]
        query = query.where(col(Client.slug_key).in_(within))
    return query


def docket_within_reach(session: Session, caller: Caller, approval_id: str) -> Docket:
    """Return one, or raise the same 404 for unknown and out of reach."""
    plausible = approval_id.isascii() and approval_id.isalnum() and len(approval_id) <= 32
    query = dockets(caller).where(Approval.id == approval_id)
    found = session.exec(query).one_or_none() if plausible else None
    if found is None:
        raise Problem(problems.NOT_FOUND, "There is no approval of this id.")
    return Docket(*found)


def mine(session: Session, services: Services, caller: Caller) -> set[str]:
    """Return the ids of the approvals that the caller may decide now."""
    bench = Bench.on(session, services.today())
    roles = sorted(bench.roles_of(caller.actor.id))
    asked = col(Approval.role).in_(roles) | col(Approval.alternate).in_(roles)
    waiting = select(Approval).where(Approval.state == ApprovalState.waiting, asked)
    decided = select(Decision.approval_id).where(Decision.actor_id == caller.actor.id)
    found = session.exec(waiting.where(col(Approval.id).not_in(decided))).all()
    return {
        approval.id
        for approval in found
        if caller.actor.id in bench.deciders(approval, approval.requested_by)
    }


def approval_documents(
    session: Session, found: Iterable[Docket], mine: set[str]
) -> list[OperationApprovalDocument]:
    """Return the documents of approvals, with what was decided on each."""
    listed = list(found)
    ids = [docket.approval.id for docket in listed]
    query = select(Decision, Actor).join(Actor, col(Actor.id) == col(Decision.actor_id))
    query = query.where(col(Decision.approval_id).in_(ids)).order_by(col(Decision.decided_at))
    decided = session.exec(query).all()
    return [
        _document(
            docket, [pair for pair in decided if pair[0].approval_id == docket.approval.id]
        ).model_copy(update={"mine": docket.approval.id in mine})
        for docket in listed
    ]


def _document(
    docket: Docket, decided: Sequence[tuple[Decision, Actor]]
) -> OperationApprovalDocument:
    approval = docket.approval
    address = f"/v1/approvals/{approval.id}"
    verbs = {verdict.value: f"{address}/{verdict.value}" for verdict in Verdict}
    return OperationApprovalDocument(
        id=approval.id,
        rule=approval.rule,
        condition=approval.condition,
        value=approval.value,
        role=approval.role,
        alternate=approval.alternate,
        needed=approval.needed,
        given=sum(decision.verdict is Verdict.approve for decision, _ in decided),
        state=approval.state,
        mine=False,
        client=docket.client.slug,
        operation=docket.operation.id,
        kind=docket.operation.kind,
        requested_by=approval.requested_by,
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        ended_at=approval.ended_at,
        decisions=[_decision(*pair) for pair in decided],
        links={
            "self": address,
            "operation": links_of(approval)["operation"],
            "client": f"/v1/clients/{docket.client.slug}",
        }
        | (verbs if approval.state is ApprovalState.waiting else {}),
    )


def _decision(decision: Decision, actor: Actor) -> DecisionDocument:
    return DecisionDocument(
        actor=actor.id,
        name=actor.name,
        verdict=decision.verdict,
        role=decision.role,
        delegation=decision.delegation_id,
        reason=decision.reason,
        decided_at=decision.decided_at,
    )
