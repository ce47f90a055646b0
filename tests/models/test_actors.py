"""Actors and tokens: nobody without one, none for more than it says (RX-16, RX-17, PB-16)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from models import Actor, ApiToken, Scope
from models.actors import SCOPES, UnknownScope, authenticate, check_scopes, mint_token, token_sha256
from models.database import transaction
from tests.models.factories import make_actor

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def token_for(actor: Actor, plain: str, **values: Any) -> ApiToken:
    given: dict[str, Any] = {
        "scopes": ["clients:read"],
        "expires_at": NOW + timedelta(days=1),
        **values,
    }
    return ApiToken(actor_id=actor.id, token_sha256=token_sha256(plain), hint=plain[-4:], **given)


def test_a_token_is_random_and_kept_as_a_hash_only(engine: Engine, actor: Actor) -> None:
    minted = mint_token()
    assert minted.plain.startswith("hnd_")
    assert len(minted.plain) == len("hnd_") + 43  # 256 bits, six a character
    assert minted.hint == minted.plain[-4:]
    assert mint_token().plain != minted.plain
    with transaction(engine) as session:
        token = token_for(actor, minted.plain)
        session.add(token)
    with engine.connect() as connection:
        row = str(connection.execute(text("SELECT * FROM api_tokens")).one())
    assert minted.plain not in row
    assert minted.plain not in repr(token)
    assert minted.sha256 not in repr(token)


def test_a_good_token_gives_its_actor(engine: Engine, actor: Actor) -> None:
    plain = mint_token().plain
    with transaction(engine) as session:
        session.add(token_for(actor, plain))
    with transaction(engine, write=False) as session:
        found = authenticate(session, plain, at=NOW)
    assert found is not None
    assert found[1].id == actor.id


@pytest.mark.parametrize(
    "values",
    [
        {"expires_at": NOW},
        {"expires_at": NOW - timedelta(seconds=1)},
        {"revoked_at": NOW - timedelta(days=1)},
    ],
)
def test_an_expired_or_revoked_token_is_nobody(
    engine: Engine, actor: Actor, values: dict[str, datetime]
) -> None:
    plain = mint_token().plain
    with transaction(engine) as session:
        session.add(token_for(actor, plain, **values))
        session.flush()
        assert authenticate(session, plain, at=NOW) is None


def test_an_inactive_actor_is_nobody(engine: Engine) -> None:
    """RX-22: one switch ends all of a leaver's tokens."""
    plain = mint_token().plain
    with transaction(engine) as session:
        leaver = make_actor(session, active=False)
        session.add(token_for(leaver, plain))
        session.flush()
        assert authenticate(session, plain, at=NOW) is None


@pytest.mark.parametrize("plain", ["", "hnd_", "hnd_unknown", "ñ", "x" * 10_000])
def test_any_other_text_is_nobody(engine: Engine, plain: str) -> None:
    with transaction(engine, write=False) as session:
        assert authenticate(session, plain, at=NOW) is None


def test_a_token_grants_what_it_lists_and_admin_grants_all(sqlite_engine: Engine) -> None:
    with transaction(sqlite_engine) as session:
        actor = make_actor(session)
    reader = token_for(actor, "a", scopes=["clients:read"])
    admin = token_for(actor, "b", scopes=["admin"])
    nobody = token_for(actor, "c", scopes=[])
    assert [scope for scope in Scope if reader.grants(scope)] == [Scope.clients_read]
    assert all(admin.grants(scope) for scope in Scope)
    assert not any(nobody.grants(scope) for scope in Scope)


def test_the_scopes_are_those_of_the_api() -> None:
    clients = {"clients:read", "clients:write", "clients:close"}
    assert clients | {"records:read", "approvals:decide", "admin"} == SCOPES
    assert check_scopes(["records:read", "admin", "admin"]) == ["admin", "records:read"]
    with pytest.raises(UnknownScope, match="clients:delete"):
        check_scopes(["clients:read", "clients:delete"])


def test_a_token_reaches_the_clients_it_lists(sqlite_engine: Engine) -> None:
    with transaction(sqlite_engine) as session:
        actor = make_actor(session)
    limited = token_for(actor, "a", slugs=["ABC-LLC"])
    assert limited.reaches("abc-llc")
    assert not limited.reaches("ABC-LLC-2")
    assert not token_for(actor, "b", slugs=[]).reaches("ABC-LLC")
    assert token_for(actor, "c").reaches("ABC-LLC")


def test_a_limit_to_no_client_at_all_survives_the_database(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        none, every = token_for(actor, "a", slugs=[]), token_for(actor, "b")
        session.add_all([none, every])
    with transaction(engine, write=False) as session:
        assert session.get_one(ApiToken, none.id).slugs == []
        assert session.get_one(ApiToken, every.id).slugs is None


def test_names_of_actors_are_unique(engine: Engine, actor: Actor) -> None:
    """RX-17: no shared accounts, and no two under one name."""
    with transaction(engine) as session:
        with pytest.raises(IntegrityError):
            make_actor(session, actor.name)
        session.rollback()
