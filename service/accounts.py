"""Actors and their tokens: made, listed, revoked, each with its audit event (RX-17, RX-23)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from models.actors import Actor, ActorKind, ApiToken, check_scopes, mint_token
from models.audit import AuditEntry, append_audit
from models.base import utc_now

DEFAULT_TOKEN_DAYS = 90

OPERATOR = "operator"
"""Name of the system actor under which the command line acts, with the rights of the machine."""


TIMEKEEPER = "timekeeper"
"""Name of the system actor under which the service does what is due by the clock."""


class UnknownActor(LookupError):
    """No actor of that name exists."""


class UnknownToken(LookupError):
    """No token of that id exists."""


class ActorExists(ValueError):
    """An actor of that name exists already."""


@dataclass(frozen=True)
class NewToken:
    """A token at the only moment when it is known in clear."""

    id: str
    plain: str = field(repr=False)
    expires_at: datetime


def actor_named(session: Session, name: str) -> Actor:
    """Return the actor of that name; raises `UnknownActor`."""
    actor = session.exec(select(Actor).where(Actor.name == name)).one_or_none()
    if actor is None:
        raise UnknownActor(f"There is no actor named {name!r}; `handover actor list` shows all.")
    return actor


def ensure_operator(session: Session) -> Actor:
    """Return the system actor of the command line, made when it is first needed."""
    return _ensure_system(session, OPERATOR, roles=["admin"])


def ensure_timekeeper(session: Session) -> Actor:
    """Return the system actor of the clock, made when it is first needed; it has no token."""
    return _ensure_system(session, TIMEKEEPER, roles=[])


def _ensure_system(session: Session, name: str, *, roles: Sequence[str]) -> Actor:
    existing = session.exec(select(Actor).where(Actor.name == name)).one_or_none()
    if existing is not None:
        return existing
    actor = Actor(name=name, kind=ActorKind.system, roles=list(roles))
    session.add(actor)
    session.flush()
    _tell(session, actor, "actor.created", "actor", actor.id)
    return actor


def create_actor(
    session: Session, by: Actor, *, name: str, kind: ActorKind, roles: Sequence[str]
) -> Actor:
    """Create a person or a system; raises `ActorExists`."""
    if session.exec(select(Actor.id).where(Actor.name == name)).first() is not None:
        raise ActorExists(f"An actor named {name!r} exists already.")
    actor = Actor(name=name, kind=kind, roles=list(roles))
    session.add(actor)
    session.flush()
    _tell(session, by, "actor.created", "actor", actor.id)
    return actor


def set_actor_active(session: Session, by: Actor, name: str, *, active: bool) -> Actor:
    """Let an actor act, or stop all of its tokens at once (RX-22); raises `UnknownActor`."""
    actor = actor_named(session, name)
    actor.active = active
    _tell(session, by, "actor.enabled" if active else "actor.disabled", "actor", actor.id)
    return actor


def create_token(
    session: Session,
    by: Actor,
    *,
    actor: Actor,
    scopes: Sequence[str],
    slugs: Sequence[str] | None = None,
    days: int = DEFAULT_TOKEN_DAYS,
) -> NewToken:
    """Create a token for the actor; raises `models.actors.UnknownScope`."""
    minted = mint_token()
    token = ApiToken(
        actor_id=actor.id,
        token_sha256=minted.sha256,
        hint=minted.hint,
        scopes=check_scopes(scopes),
        slugs=list(slugs) if slugs else None,
        expires_at=utc_now() + timedelta(days=days),
    )
    session.add(token)
    session.flush()
    _tell(session, by, "token.created", "token", token.id)
    return NewToken(token.id, minted.plain, token.expires_at)


def revoke_token(session: Session, by: Actor, token_id: str) -> ApiToken:
    """Revoke a token, at once and for ever; raises `UnknownToken`."""
    token = session.get(ApiToken, token_id)
    if token is None:
        raise UnknownToken(f"There is no token {token_id}; `handover token list` shows all.")
    if token.revoked_at is None:
        token.revoked_at = utc_now()
        _tell(session, by, "token.revoked", "token", token.id)
    return token


def list_tokens(session: Session) -> list[tuple[ApiToken, Actor]]:
    """Return all tokens with their actors, the newest first."""
    query = select(ApiToken, Actor).where(Actor.id == ApiToken.actor_id)
    return list(session.exec(query.order_by(col(ApiToken.created_at).desc())).all())


def _tell(session: Session, by: Actor, action: str, object_type: str, object_id: str) -> None:
    append_audit(session, AuditEntry(by.id, action, object_type, object_id))
