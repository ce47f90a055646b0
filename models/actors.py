"""Actors, persons or systems, and the API tokens they act with (RX-16, RX-17, PB-16)."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlmodel import Field, Session, select

from models.base import JsonColumn, Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.names import slug_key

ADMIN_ROLE = "admin"
TOKEN_PREFIX = "hnd_"  # noqa: S105 - what tokens begin with, not a token


class ActorKind(StrEnum):
    """A person, or a system that acts on its own account; no account is shared (RX-17)."""

    person = "person"
    system = "system"


class Scope(StrEnum):
    """What a token may do; `admin` implies all."""

    clients_read = "clients:read"
    clients_write = "clients:write"
    clients_close = "clients:close"
    records_read = "records:read"
    approvals_decide = "approvals:decide"
    admin = "admin"


SCOPES = frozenset(scope.value for scope in Scope)


class Actor(Table, table=True):
    """Who acts. Never deleted, only made inactive: the audit chain refers to it.

    `roles`: job descriptions of SP-050-003 such as `JD-005`, or `admin`.
    """

    __tablename__ = "actors"

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    name: str = Field(unique=True, max_length=100)
    kind: ActorKind = Field(default=ActorKind.person, sa_type=enum_column(ActorKind))
    roles: list[str] = Field(default_factory=list, sa_type=JsonColumn)
    active: bool = True
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class ApiToken(Table, table=True):
    """A bearer token, known by its SHA-256 only. `slugs` None means every client.

    A plain hash is enough because the token itself is 256 random bits: nothing can be guessed.
    """

    __tablename__ = "api_tokens"

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    actor_id: str = Field(sa_column_args=references("actors.id"), index=True)
    token_sha256: str = Field(unique=True, max_length=64, repr=False, exclude=True)
    hint: str = Field(max_length=4)
    scopes: list[str] = Field(default_factory=list, sa_type=JsonColumn)
    slugs: list[str] | None = Field(default=None, sa_type=JsonColumn)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    def usable(self, at: datetime) -> bool:
        """Whether the token is neither revoked nor expired at this moment."""
        return self.revoked_at is None and at < self.expires_at

    def grants(self, scope: str) -> bool:
        """Whether the token carries the scope; `admin` implies all."""
        return scope in self.scopes or Scope.admin.value in self.scopes

    def reaches(self, slug: str) -> bool:
        """Whether the client with this slug, whatever its case, is within the token's reach."""
        return self.slugs is None or slug_key(slug) in map(slug_key, self.slugs)


class MintedToken(NamedTuple):
    """A new token: `plain` is shown once and kept nowhere, `sha256` and `hint` are stored."""

    plain: str
    sha256: str
    hint: str


class UnknownScope(ValueError):
    """A scope that does not exist was asked for."""


def mint_token() -> MintedToken:
    """A new token of 256 random bits, `hnd_…`, with its hash and its last four characters."""
    plain = TOKEN_PREFIX + secrets.token_urlsafe(32)
    return MintedToken(plain, token_sha256(plain), plain[-4:])


def token_sha256(plain: str) -> str:
    """The hash under which a token is stored and found, hexadecimal."""
    return hashlib.sha256(plain.encode()).hexdigest()


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """The scopes, sorted and once each; raises UnknownScope for one that does not exist."""
    wanted = set(scopes)
    if unknown := sorted(wanted - SCOPES):
        raise UnknownScope(f"No such scope: {', '.join(unknown)}. Use {', '.join(sorted(SCOPES))}.")
    return sorted(wanted)


def authenticate(
    session: Session, plain: str, *, at: datetime | None = None
) -> tuple[ApiToken, Actor] | None:
    """The usable token and its active actor, or None, without telling why not (PB-16)."""
    query = select(ApiToken, Actor).where(
        ApiToken.token_sha256 == token_sha256(plain), Actor.id == ApiToken.actor_id
    )
    found = session.exec(query).one_or_none()
    if found is None:
        return None
    token, actor = found
    return (token, actor) if actor.active and token.usable(at or utc_now()) else None
