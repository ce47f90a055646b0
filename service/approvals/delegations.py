"""Delegations of a role's decisions to a JD-009, for certain days (SP-16)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlmodel import Session, select

from models.actors import Actor, ActorKind
from models.approvals import Delegation
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from service import problems
from service.approvals.rules import DELEGATE_ROLE
from service.problems import FieldError, Problem, describe
from service.wishes import Requester

LONGEST_DAYS = 366
"""As long as a token may live: whoever needs it longer gives it anew."""


@dataclass(frozen=True)
class Handing:
    """A wish to delegate: which role, to the actor of which name, for which days, and why."""

    role: str
    actor: str
    valid_from: date
    valid_until: date
    reason: str


def delegate(
    session: Session,
    by: Requester,
    giver: Actor,
    handing: Handing,
    today: date,
    *,
    is_admin: bool,
) -> Delegation:
    """Write a delegation; raises a Problem: 403 for who may not give it, 422 for what cannot be."""
    _refuse_stranger(giver, handing.role, is_admin=is_admin)
    person = session.exec(select(Actor).where(Actor.name == handing.actor)).one_or_none()
    _refuse([*_about(person, giver), *_about_days(handing, today)])
    assert person is not None  # an unknown one is refused
    delegation = Delegation(
        role=handing.role,
        actor_id=person.id,
        delegated_by=giver.id,
        valid_from=handing.valid_from,
        valid_until=handing.valid_until,
        reason=handing.reason,
    )
    session.add(delegation)
    session.flush()
    _tell(session, by, "delegation.created", delegation)
    return delegation


def revoke(
    session: Session, by: Requester, actor: Actor, delegation_id: str, *, is_admin: bool
) -> Delegation:
    """End a delegation at once; ended before, it stays as it is. Raises 404 and 403 Problems."""
    delegation = session.get(Delegation, delegation_id, with_for_update=True)
    if delegation is None:
        raise Problem(problems.NOT_FOUND, "There is no delegation of this id.")
    if actor.id not in (delegation.delegated_by, delegation.actor_id):
        _refuse_stranger(actor, delegation.role, is_admin=is_admin)
    if delegation.revoked_at is None:
        delegation.revoked_at, delegation.revoked_by = utc_now(), actor.id
        _tell(session, by, "delegation.revoked", delegation)
    return delegation


def _refuse_stranger(actor: Actor, role: str, *, is_admin: bool) -> None:
    if not is_admin and role not in actor.roles:
        raise Problem(
            problems.MAY_NOT_DELEGATE,
            f"Only a {role} or an administrator gives the role to somebody or takes it back.",
        )


def _about(person: Actor | None, giver: Actor) -> Iterator[FieldError]:
    if person is None or not person.active or person.kind is not ActorKind.person:
        yield FieldError("actor", "is not the name of an active person")
    elif DELEGATE_ROLE not in person.roles:
        yield FieldError("actor", f"does not have the role {DELEGATE_ROLE}")
    elif person.id == giver.id:
        yield FieldError("actor", "is who delegates; a role is given to somebody else")


def _about_days(handing: Handing, today: date) -> Iterator[FieldError]:
    if handing.valid_until < handing.valid_from:
        yield FieldError("valid_until", "is before valid_from")
    elif handing.valid_until < today:
        yield FieldError("valid_until", "has passed")
    elif handing.valid_until - handing.valid_from >= timedelta(days=LONGEST_DAYS):
        yield FieldError("valid_until", f"makes it last for more than {LONGEST_DAYS} days")


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        raise Problem(problems.INVALID_REQUEST, describe(errors), errors=errors)


def _tell(session: Session, by: Requester, action: str, delegation: Delegation) -> None:
    data = {
        "role": delegation.role,
        "delegate": delegation.actor_id,
        "valid_from": delegation.valid_from.isoformat(),
        "valid_until": delegation.valid_until.isoformat(),
    }
    entry = AuditEntry(
        by.actor_id,
        action,
        "delegation",
        delegation.id,
        source_ip=by.source_ip,
        request_id=by.audited_request_id,
        data=data,
    )
    append_audit(session, entry)
