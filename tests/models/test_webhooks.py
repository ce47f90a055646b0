"""Connections' secrets, events kept once, and who may take one up."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from models import Actor, WebhookConnection, WebhookEvent, WebhookEventState, WebhookKind
from models.base import utc_now
from models.database import transaction
from models.sealing import Keyring, SealBroken
from models.states import IllegalTransition
from models.webhooks import (
    WEBHOOK_EVENT_TRANSITIONS,
    claim_event,
    clients_under,
    due_events,
    keep_event,
    move_event,
)
from tests.models.factories import make_client, make_contract

LEASE = timedelta(minutes=5)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.generate(tmp_path / "sealing.json")


@pytest.fixture
def connection(engine: Engine, actor: Actor, keyring: Keyring) -> WebhookConnection:
    made = WebhookConnection(name="a", kind=WebhookKind.standard, actor_id=actor.id, secret=b"")
    made.seal_secret(keyring, "the first secret")
    with transaction(engine) as session:
        session.add(made)
    return made


def an_event(connection: WebhookConnection, key: str = "k") -> WebhookEvent:
    return WebhookEvent(connection_id=connection.id, dedupe_key=key, body="{}")


def test_the_present_secret_stays_valid_for_the_overlap(
    connection: WebhookConnection, keyring: Keyring
) -> None:
    now = utc_now()
    connection.replace_secret(keyring, "the second secret", overlap=timedelta(hours=1))
    assert connection.secrets(keyring, now) == ["the second secret", "the first secret"]
    assert connection.secrets(keyring, now + timedelta(hours=2)) == ["the second secret"]
    connection.replace_secret(keyring, "the third secret", overlap=timedelta(0))
    assert connection.secrets(keyring, now) == ["the third secret"]


def test_secrets_are_bound_to_their_row_and_column(
    connection: WebhookConnection, keyring: Keyring
) -> None:
    """RX-03: a sealed value that is moved elsewhere opens no more."""
    connection.seal_credential(keyring, "a credential")
    assert connection.open_credential(keyring) == "a credential"
    connection.secret = connection.credential or b""
    with pytest.raises(SealBroken):
        connection.secrets(keyring, utc_now())
    assert "secret" not in repr(connection)
    assert "secret" not in connection.model_dump()


def test_an_event_is_kept_once_for_each_connection(
    engine: Engine, connection: WebhookConnection
) -> None:
    with transaction(engine) as session:
        kept = [keep_event(session, an_event(connection, key)) for key in ("a", "a", "b")]
        again = keep_event(session, an_event(connection, "b"))
    assert (kept, again) == ([True, False, True], False)
    with transaction(engine, write=False) as session:
        assert len(session.exec(select(WebhookEvent)).all()) == 2


def test_ten_at_once_keep_one_event(engine: Engine, connection: WebhookConnection) -> None:
    def keep(_: int) -> bool:
        with transaction(engine) as session:
            return keep_event(session, an_event(connection))

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(keep, range(10))) == 1


def test_one_of_many_takes_an_event_up(engine: Engine, connection: WebhookConnection) -> None:
    event = an_event(connection)
    with transaction(engine) as session:
        keep_event(session, event)
        [event_id] = due_events(session, utc_now(), 10)

    def claim(_: int) -> bool:
        with transaction(engine) as session:
            return claim_event(session, event_id, utc_now(), LEASE)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(16))) == 1
    later = utc_now() + 2 * LEASE
    with transaction(engine) as session:
        assert due_events(session, utc_now(), 10) == []
        assert due_events(session, later, 10) == [event_id]
        assert claim_event(session, event_id, later, LEASE)
    with transaction(engine, write=False) as session:
        assert session.get_one(WebhookEvent, event_id).attempts == 2


@pytest.mark.parametrize("origin", WebhookEventState)
@pytest.mark.parametrize("to", WebhookEventState)
def test_states_move_as_the_table_says(origin: WebhookEventState, to: WebhookEventState) -> None:
    event = WebhookEvent(connection_id="x", dedupe_key="x", body="{}", state=origin)
    if to in WEBHOOK_EVENT_TRANSITIONS[origin]:
        move_event(event, to)
        settled = to not in (WebhookEventState.received, WebhookEventState.processing)
        assert (event.state, event.finished_at is not None) == (to, settled)
    else:
        with pytest.raises(IllegalTransition):
            move_event(event, to)


def test_a_reference_finds_its_clients_through_older_contracts_too(
    engine: Engine, actor: Actor
) -> None:
    """For ever: a contract that is no longer the current one still counts."""
    with transaction(engine) as session:
        client = make_client(session, actor, "ABC-LLC")
        older = make_contract(client, "DPA 1")
        older.current = False
        session.add_all([older, make_contract(client, "DPA 2")])
        assert _slugs(session, "dpa 1") == _slugs(session, "dpa 2") == ["ABC-LLC"]
        assert _slugs(session, "dpa 3") == []


def _slugs(session: Session, key: str) -> list[str]:
    return [client.slug for client in clients_under(session, key)]
