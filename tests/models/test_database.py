"""Engines and transactions: waiting instead of failing, nothing half-written, nothing told."""

import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlmodel import Session, func, select

from models import AccessKey, Actor, Client, database
from models.base import NaiveDateTimeError
from models.database import (
    FROZEN_SECONDS,
    DatabaseUrlError,
    WriteTransactionRequired,
    create_engine_for,
    lock_ledger,
    transaction,
    upgrade,
)
from tests.models.factories import make_actor, make_client, make_operation

REPOSITORY = Path(__file__).parents[2]


def test_sqlite_is_set_up_for_durability_and_references(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full = 2
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_a_hundred_writers_at_once_all_get_their_turn(engine: Engine) -> None:
    """Each reads and then writes, which without BEGIN IMMEDIATE ends in 'database is locked'."""
    start = threading.Barrier(100)

    def write(number: int) -> None:
        start.wait()
        with transaction(engine) as session:
            session.exec(select(func.count()).select_from(Actor)).one()
            session.add(Actor(name=f"writer-{number}"))

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(write, range(100)))
    with transaction(engine, write=False) as session:
        assert session.exec(select(func.count()).select_from(Actor)).one() == 100


WRITER = """
import sys
from models import Actor
from models.database import create_engine_for, transaction
engine = create_engine_for(sys.argv[1])
for number in range(25):
    with transaction(engine) as session:
        session.add(Actor(name=f"{sys.argv[2]}-{number}"))
"""


def test_processes_share_a_sqlite_file(sqlite_engine: Engine) -> None:
    url = sqlite_engine.url.render_as_string()
    command = [sys.executable, "-c", WRITER, url]
    writers = [subprocess.Popen([*command, name], cwd=REPOSITORY) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with transaction(sqlite_engine, write=False) as session:
        assert session.exec(select(func.count()).select_from(Actor)).one() == 50


def test_an_error_takes_everything_back(engine: Engine) -> None:
    def write_and_fail() -> None:
        with transaction(engine) as session:
            make_actor(session)
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    with transaction(engine, write=False) as session:
        assert session.exec(select(Actor)).all() == []


def test_a_reader_cannot_write(engine: Engine, actor: Actor) -> None:
    with transaction(engine, write=False) as session:
        session.add(Actor(name="nobody"))
        with pytest.raises(DBAPIError, match=r"read-?only"):
            session.flush()
    with transaction(engine) as session:
        make_actor(session)  # the connection that was used for reading writes again


def test_objects_stay_readable_after_the_transaction(engine: Engine) -> None:
    with transaction(engine) as session:
        actor = make_actor(session, "somebody")
    assert actor.name == "somebody"


def test_rows_added_together_may_refer_to_each_other_in_any_order(
    engine: Engine, actor: Actor
) -> None:
    with transaction(engine) as session:
        client = make_client(session, actor)
        session.expunge(client)
        session.rollback()
    with transaction(engine) as session:
        session.add_all([AccessKey(client_id="f" * 32, generation=1)])
        values = client.model_dump(exclude={"id"})
        session.add(Client(**{**values, "id": "f" * 32}))


def test_a_reference_to_nothing_is_refused_at_the_end(engine: Engine) -> None:
    def write() -> None:
        with transaction(engine) as session:
            session.add(AccessKey(client_id="f" * 32, generation=1))

    with pytest.raises(IntegrityError):
        write()


def test_times_are_aware_and_utc_again_when_read(engine: Engine) -> None:
    moment = datetime.fromisoformat("2026-11-21T12:30:15.123456+02:00")
    with transaction(engine) as session:
        make_actor(session, "timed", created_at=moment)
    with transaction(engine, write=False) as session:
        read = session.exec(select(Actor)).one().created_at
    assert read.isoformat() == "2026-11-21T10:30:15.123456+00:00"


def test_a_time_without_a_zone_is_refused(sqlite_engine: Engine) -> None:
    naive = datetime.fromisoformat("2026-11-21T12:30:15")
    with transaction(sqlite_engine) as session:
        session.add(Actor(name="timeless", created_at=naive))
        with pytest.raises(StatementError) as raised:
            session.flush()
        session.rollback()
    assert isinstance(raised.value.orig, NaiveDateTimeError)


def test_values_never_appear_in_a_database_error(engine: Engine) -> None:
    """A statement that fails must not carry names or secrets into a log (PB-13)."""
    with transaction(engine) as session:
        with pytest.raises(IntegrityError) as raised:
            session.connection().execute(
                text("INSERT INTO actors (id, name) VALUES (:id, :name)"),
                {"id": "a", "name": "Ada Lovelace"},
            )
        session.rollback()
    assert "Ada" not in "".join(traceback.format_exception(raised.value))
    assert "actors" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+asyncpg://user:hunter2@host/name",
        "not a url with hunter2",
    ],
)
def test_other_databases_are_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match="use sqlite:///FILE or postgresql://") as raised:
        create_engine_for(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_postgresql_url_uses_psycopg_3(scheme: str) -> None:
    assert create_engine_for(f"{scheme}://host/name").driver == "psycopg"


def test_options_given_in_the_url_are_kept() -> None:
    engine = create_engine_for("postgresql://host/name?application_name=mine&sslmode=require")
    assert engine.url.query["application_name"] == "mine"
    assert engine.url.query["sslmode"] == "require"


def test_the_ledger_can_be_locked_only_by_a_writer(engine: Engine) -> None:
    with transaction(engine, write=False) as session, pytest.raises(WriteTransactionRequired):
        lock_ledger(session)
    with Session(engine) as session, pytest.raises(WriteTransactionRequired):
        lock_ledger(session)


def test_a_frozen_process_does_not_hold_its_rows_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction in which nothing happens is ended by the server, and its locks with it."""
    upgrade(postgres_url)
    patient = create_engine_for(postgres_url)
    defaults = {**database._POSTGRESQL_DEFAULTS}
    shorter = defaults["options"].replace(f"{FROZEN_SECONDS}s", "2s")
    monkeypatch.setattr(database, "_POSTGRESQL_DEFAULTS", defaults | {"options": shorter})
    hasty = create_engine_for(postgres_url)
    lock = text("LOCK TABLE actors IN EXCLUSIVE MODE")
    with Session(hasty) as frozen:
        frozen.execute(lock)
        with transaction(patient) as other:
            other.execute(lock)
        with pytest.raises(DBAPIError, match="idle-in-transaction"):
            frozen.execute(lock)
    hasty.dispose()
    patient.dispose()


def test_a_writer_of_a_row_keeps_nobody_from_referring_to_it(postgres_url: str) -> None:
    """PostgreSQL checks a foreign key at commit: FOR UPDATE on its target would keep that waiting,
    and two writers of one client's rows would wait for each other."""
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    with transaction(engine) as session:
        actor = make_actor(session)
        client = make_client(session, actor)
    with transaction(engine) as locking:
        locking.get_one(Client, client.id, with_for_update=True)
        with transaction(engine) as session:
            session.connection().execute(text("SET LOCAL lock_timeout = '1s'"))
            make_operation(session, client, actor)
    engine.dispose()
