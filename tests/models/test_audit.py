"""The audit chain: append-only, gapless, and every way of tampering is found (RX-17, RX-23, RX-41).

Tampering needs somebody who owns the database: the triggers are dropped first.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from models import Actor, AuditEntry, AuditEvent, Client
from models.audit import (
    GENESIS,
    ChainAnchor,
    ChainReport,
    append_audit,
    event_hash,
    verify_chain,
)
from models.base import new_id
from models.clients import find_client
from models.database import WriteTransactionRequired, create_engine_for, transaction, upgrade
from tests.models.factories import make_client
from tests.waiting import PATIENCE

CLIENT_ID = "0123456789abcdef0123456789abcdef"


def entry_by(actor: Actor, **values: Any) -> AuditEntry:
    entry = AuditEntry(actor.id, "client.opened", "client", CLIENT_ID, client_id=CLIENT_ID)
    return replace(entry, **values)


@pytest.fixture
def chain(engine: Engine, actor: Actor) -> list[AuditEvent]:
    for number in range(1, 8):
        with transaction(engine) as session:
            data = {"step": number}
            entry = entry_by(actor, source_ip="192.0.2.7", request_id=new_id(), data=data)
            append_audit(session, entry)
    with transaction(engine, write=False) as session:
        return list(session.exec(select(AuditEvent).order_by(col(AuditEvent.sequence))))


def verify(engine: Engine, anchor: ChainAnchor | None = None) -> ChainReport:
    with transaction(engine, write=False) as session:
        return verify_chain(session, anchor=anchor)


@contextmanager
def without_triggers(engine: Engine) -> Iterator[Connection]:
    """A connection of somebody who owns the database and has taken the triggers away."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER TABLE audit_events DISABLE TRIGGER USER")
        else:
            for name in ("no_update", "no_delete", "in_order"):
                connection.exec_driver_sql(f"DROP TRIGGER audit_events_{name}")
        yield connection


def test_a_chain_of_honest_events_holds(engine: Engine, chain: list[AuditEvent]) -> None:
    assert verify(engine) == ChainReport(True, 7, None, chain[-1].hash)
    assert [event.sequence for event in chain] == [1, 2, 3, 4, 5, 6, 7]
    assert chain[0].previous_hash == GENESIS


def test_an_empty_chain_holds(engine: Engine) -> None:
    assert verify(engine) == ChainReport(True, 0, None, GENESIS)


def test_the_hash_is_the_one_documented(engine: Engine, chain: list[AuditEvent]) -> None:
    """Computed here from plain SQL, as an auditor without this program would."""
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM audit_events WHERE sequence = 2")).one()
    content = dict(row._mapping)
    stored = content.pop("hash")
    if isinstance(content["data"], str):
        content["data"] = json.loads(content["data"])
    content["at"] = f"{str(content['at'])[:26].replace(' ', 'T')}+00:00"
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == stored == chain[1].hash


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor_id", "f" * 32),
        ("action", "client.closed"),
        ("object_type", "contract"),
        ("object_id", "f" * 32),
        ("client_id", None),
        ("source_ip", "192.0.2.8"),
        ("request_id", "f" * 32),
        ("data", '{"step": 9}'),
        ("at", "2026-01-01 00:00:00.000000"),
        ("previous_hash", "f" * 64),
        ("hash", "f" * 64),
    ],
)
def test_an_edited_event_is_found(
    engine: Engine, chain: list[AuditEvent], column: str, value: str | None
) -> None:
    casts = {"data": "jsonb", "at": "timestamptz"} if engine.dialect.name == "postgresql" else {}
    new = f"CAST(:value AS {casts[column]})" if column in casts else ":value"
    with without_triggers(engine) as connection:
        if column == "actor_id":
            connection.execute(
                text(
                    "INSERT INTO actors (id, name, kind, roles, active, created_at) "
                    "SELECT :id, 'other', kind, roles, active, created_at FROM actors"
                ),
                {"id": value},
            )
        connection.execute(
            text(f"UPDATE audit_events SET {column} = {new} WHERE sequence = 4"),  # noqa: S608
            {"value": value},
        )
    assert verify(engine) == ChainReport(False, 3, 4, chain[2].hash)


def test_an_edit_with_a_fitting_hash_breaks_the_next_link(
    engine: Engine, chain: list[AuditEvent]
) -> None:
    """Whoever edits must write every later event anew, which an anchor kept elsewhere shows."""
    edited = chain[3]
    edited.action = "client.closed"
    with without_triggers(engine) as connection:
        store(connection, edited.sequence, edited)
    assert verify(engine) == ChainReport(False, 4, 5, event_hash(edited))


def test_a_gap_is_found_though_every_later_event_was_written_anew(
    engine: Engine, chain: list[AuditEvent]
) -> None:
    with without_triggers(engine) as connection:
        connection.exec_driver_sql("DELETE FROM audit_events WHERE sequence = 4")
        previous = chain[2].hash
        for event in chain[4:]:
            event.previous_hash = previous
            store(connection, event.sequence, event)
            previous = event_hash(event)
    assert verify(engine) == ChainReport(False, 3, 4, chain[2].hash)


def store(connection: Connection, sequence: int, event: AuditEvent) -> None:
    """Write a forged event over a stored one, with a hash that fits its content."""
    connection.execute(
        text(
            "UPDATE audit_events SET action = :action, previous_hash = :previous, hash = :hash "
            "WHERE sequence = :sequence"
        ),
        {
            "action": event.action,
            "previous": event.previous_hash,
            "hash": event_hash(event),
            "sequence": sequence,
        },
    )


def test_a_deleted_event_is_found(engine: Engine, chain: list[AuditEvent]) -> None:
    with without_triggers(engine) as connection:
        connection.exec_driver_sql("DELETE FROM audit_events WHERE sequence = 4")
    assert verify(engine) == ChainReport(False, 3, 4, chain[2].hash)


def test_a_deleted_event_is_found_though_the_rest_moves_up(
    engine: Engine, chain: list[AuditEvent]
) -> None:
    with without_triggers(engine) as connection:
        connection.exec_driver_sql("DELETE FROM audit_events WHERE sequence = 4")
        for sequence in (5, 6, 7):
            connection.exec_driver_sql(
                f"UPDATE audit_events SET sequence = {sequence - 1} WHERE sequence = {sequence}"  # noqa: S608
            )
    assert verify(engine).first_bad_sequence == 4


def test_reordered_events_are_found(engine: Engine, chain: list[AuditEvent]) -> None:
    with without_triggers(engine) as connection:
        for origin, to in ((3, 99), (5, 3), (99, 5)):
            connection.exec_driver_sql(
                f"UPDATE audit_events SET sequence = {to} WHERE sequence = {origin}"  # noqa: S608
            )
    assert verify(engine).first_bad_sequence == 3


def test_a_chain_cut_off_at_its_end_is_found_by_an_anchor(
    engine: Engine, chain: list[AuditEvent]
) -> None:
    anchor = ChainAnchor(7, chain[-1].hash)
    assert verify(engine, anchor).ok
    with without_triggers(engine) as connection:
        connection.exec_driver_sql("DELETE FROM audit_events WHERE sequence > 5")
    assert verify(engine).ok, "the chain alone cannot show this, as the module says"
    assert verify(engine, anchor) == ChainReport(False, 5, 6, chain[4].hash)


def test_a_chain_written_anew_is_found_by_an_anchor(
    engine: Engine, chain: list[AuditEvent], actor: Actor
) -> None:
    with without_triggers(engine) as connection:
        connection.exec_driver_sql("DELETE FROM audit_events")
    with transaction(engine) as session:
        for _ in chain:
            append_audit(session, entry_by(actor, action="client.closed"))
    assert verify(engine).ok
    assert verify(engine, ChainAnchor(5, chain[4].hash)).first_bad_sequence == 5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET action = 'client.closed'",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE sequence = 7",
        "INSERT INTO audit_events SELECT 9, at, actor_id, action, object_type, object_id, "
        "client_id, source_ip, request_id, data, hash, hash FROM audit_events WHERE sequence = 7",
        "INSERT INTO audit_events SELECT 8, at, actor_id, action, object_type, object_id, "
        "client_id, source_ip, request_id, data, previous_hash, hash "
        "FROM audit_events WHERE sequence = 7",
    ],
)
def test_the_database_refuses_changes(
    engine: Engine, chain: list[AuditEvent], statement: str
) -> None:
    refusal = "append-only|must follow the last one"
    with engine.connect() as connection, pytest.raises(DBAPIError, match=refusal):
        connection.exec_driver_sql(statement)
    assert verify(engine).events == 7


def test_sqlite_refuses_to_replace_an_event(
    sqlite_engine: Engine,
) -> None:
    with transaction(sqlite_engine) as session:
        actor = Actor(name="somebody")
        session.add(actor)
        append_audit(session, entry_by(actor))
    with sqlite_engine.connect() as connection, pytest.raises(DBAPIError, match="must follow"):
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO audit_events SELECT sequence, at, actor_id, 'a.b', "
            "object_type, object_id, client_id, source_ip, request_id, data, previous_hash, hash "
            "FROM audit_events"
        )


def test_postgresql_refuses_to_truncate(postgres_url: str) -> None:
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.exec_driver_sql("TRUNCATE audit_events")
    engine.dispose()


def test_an_event_falls_with_what_it_tells(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        append_audit(session, entry_by(actor))
        session.rollback()
    assert verify(engine).events == 0
    with transaction(engine) as session:
        append_audit(session, entry_by(actor))
        session.rollback()
        append_audit(session, entry_by(actor, action="client.closed"))
    assert verify(engine).ok
    assert verify(engine).events == 1


def test_events_of_one_transaction_keep_their_order(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        for number in range(5):
            append_audit(session, entry_by(actor, data={"step": number}))
    with transaction(engine, write=False) as session:
        events = session.exec(select(AuditEvent).order_by(col(AuditEvent.sequence))).all()
    assert [event.data["step"] for event in events] == list(range(5))
    assert verify(engine).ok


def test_the_chain_is_held_for_its_own_writing_alone(postgres_url: str) -> None:
    """A transaction that has told the audit and is not done yet keeps nobody else waiting."""
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    with transaction(engine) as session:
        actor = Actor(name="somebody")
        session.add(actor)
    with transaction(engine) as slow:
        append_audit(slow, entry_by(actor, action="client.closed"))
        slow.flush()
        with ThreadPoolExecutor(1) as pool:

            def write() -> None:
                with transaction(engine) as session:
                    append_audit(session, entry_by(actor))

            pool.submit(write).result(timeout=PATIENCE)
    with transaction(engine, write=False) as session:
        events = session.exec(select(AuditEvent).order_by(col(AuditEvent.sequence))).all()
    assert [event.action for event in events] == ["client.opened", "client.closed"]
    assert verify(engine).ok
    engine.dispose()


def test_events_appended_at_once_make_one_chain(engine: Engine, actor: Actor) -> None:
    def write(_number: int) -> None:
        with transaction(engine) as session:
            append_audit(session, entry_by(actor))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(60)))
    assert verify(engine).ok
    assert verify(engine).events == 60


def test_writers_of_one_client_and_the_chain_never_wait_in_a_circle(
    engine: Engine, actor: Actor
) -> None:
    with transaction(engine) as session:
        client = make_client(session, actor, "ABC-LLC")

    def write(number: int) -> None:
        with transaction(engine) as session:
            held = find_client(session, "ABC-LLC", for_update=True)
            assert held is not None
            held.purpose = f"Purpose {number}"
            append_audit(session, entry_by(actor, object_id=client.id, client_id=client.id))
            held.valid_until = None
            held.language = "es"

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(40)))
    assert verify(engine).events == 40
    with transaction(engine, write=False) as session:
        assert session.get_one(Client, client.id).revision >= 41


def test_an_event_needs_a_known_actor(engine: Engine, actor: Actor) -> None:
    """RX-17: every event is traceable to somebody."""

    def write() -> None:
        with transaction(engine) as session:
            append_audit(session, replace(entry_by(actor), actor_id=new_id()))

    with pytest.raises(DBAPIError):
        write()


def test_an_event_outside_a_writing_transaction_is_refused(engine: Engine, actor: Actor) -> None:
    with Session(engine) as session, pytest.raises(WriteTransactionRequired):
        append_audit(session, entry_by(actor))


def test_events_of_several_batches_are_followed(sqlite_engine: Engine) -> None:
    with transaction(sqlite_engine) as session:
        actor = Actor(name="somebody")
        session.add(actor)
        for _ in range(1_050):
            append_audit(session, entry_by(actor))
    with transaction(sqlite_engine, write=False) as session:
        assert verify_chain(session).events == 1_050
        held = session.exec(select(AuditEvent).order_by(col(AuditEvent.sequence)).limit(1)).one()
    assert held.previous_hash == GENESIS
