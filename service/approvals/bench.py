"""Who may decide what: people by their roles, and by dated delegations (SP-16)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, select

from models.actors import Actor, ActorKind
from models.approvals import Approval, Delegation
from service.approvals.rules import DELEGATE_ROLE, Rule


@dataclass(frozen=True)
class Capacity:
    """In which role a person decides; by which delegation, where the role is not their own."""

    role: str
    delegation_id: str | None = None


class Bench:
    """The active people of one day, with their roles and the delegations to them.

    A delegation holds while who gave it is active, and while its holder is a JD-009. None counts
    for the requests of the one who gave it: that would be a way to approve one's own.
    """

    def __init__(self, actors: Iterable[Actor], delegations: Iterable[Delegation]) -> None:
        active = {actor.id: actor for actor in actors if actor.active}
        self._people = {i: a for i, a in active.items() if a.kind is ActorKind.person}
        self._delegations = [
            delegation
            for delegation in delegations
            if delegation.delegated_by in active
            and delegation.actor_id in self._people
            and DELEGATE_ROLE in self._people[delegation.actor_id].roles
        ]

    @classmethod
    def on(cls, session: Session, day: date) -> "Bench":
        """Read who may decide on this day of the organisation's calendar."""
        actors = session.exec(select(Actor).where(col(Actor.active))).all()
        living = select(Delegation).where(col(Delegation.revoked_at).is_(None))
        delegations = session.exec(living.order_by(col(Delegation.created_at))).all()
        return cls(actors, [one for one in delegations if one.valid_on(day)])

    def holds(self, actor_id: str, role: str) -> bool:
        """Tell whether the role is this person's own."""
        person = self._people.get(actor_id)
        return person is not None and role in person.roles

    def counts(self, delegation: Delegation) -> bool:
        """Tell whether the delegation is one of those that hold today."""
        return any(one.id == delegation.id for one in self._delegations)

    def roles_of(self, actor_id: str) -> set[str]:
        """Return the roles in which a person could decide, by delegation or not."""
        person = self._people.get(actor_id)
        own = set(person.roles) if person else set()
        return own | {one.role for one in self._delegations if one.actor_id == actor_id}

    def deciders(self, asked: Rule | Approval, requested_by: str) -> Mapping[str, Capacity]:
        """Return who may decide, by actor id; never the requester.

        Where the role is the requester's own and too few others have it, the alternate joins.
        """
        able = self._able(asked.role, requested_by)
        needed = asked.needed if isinstance(asked, Approval) else asked.approvers
        if len(able) >= needed or not self.holds(requested_by, asked.role):
            return able
        return self._able(asked.alternate, requested_by) | able

    def _able(self, role: str, requested_by: str) -> dict[str, Capacity]:
        able = {
            delegation.actor_id: Capacity(role, delegation.id)
            for delegation in self._delegations
            if delegation.role == role and delegation.delegated_by != requested_by
        }
        able |= {person: Capacity(role) for person in self._people if self.holds(person, role)}
        able.pop(requested_by, None)
        return able
