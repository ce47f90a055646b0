"""A worker's name, its turns with clients, and what it does when its database goes."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from models.database import create_engine_for, transaction, upgrade
from models.workers import DEAD_AFTER, WorkerRow
from service.worker import presence as worker_presence
from service.worker.circuit import Circuit
from service.worker.locks import DatabaseInUse, locks_for
from service.worker.presence import BackendDiffers, NameTaken, Presence
from tests.waiting import until


class TurnRefused(Exception):
    """The client is being worked on."""


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    """A migrated PostgreSQL database."""
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """A migrated SQLite file."""
    url = f"sqlite:///{tmp_path / 'handover.db'}"
    upgrade(url)
    engine = create_engine_for(url)
    yield engine
    engine.dispose()


def presence(database: Engine, name: str = "a", backend: str = "s3://state") -> Presence:
    return Presence(database, name, backend, locks_for(database), Circuit(lambda: True))


def refuse() -> None:
    raise TurnRefused


def seen(database: Engine, name: str) -> WorkerRow:
    with transaction(database, write=False) as session:
        return session.get_one(WorkerRow, name)


def test_a_name_is_held_once(postgres: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = presence(postgres)
    first.hold()
    # Refused because the first one gives signs of life, not when patience ends.
    monkeypatch.setattr(worker_presence, "NAME_PATIENCE", 3600.0)
    with pytest.raises(NameTaken, match=r"A worker named a runs already.*HANDOVER_WORKER_NAME"):
        presence(postgres).hold()
    other = presence(postgres, "b")
    other.hold()
    other.release()
    first.release()
    again = presence(postgres)
    again.hold()
    again.release()
    assert seen(postgres, "a").stopped_at is not None


def test_a_worker_that_is_cut_off_ends_itself_before_others_begin() -> None:
    """With a third of the time to spare, as its statement and its watchdog take some of it."""
    assert DEAD_AFTER["postgresql"] >= worker_presence.LOST_SECONDS * 3 / 2


def test_a_living_worker_is_seen_each_second(postgres: Engine) -> None:
    worker = presence(postgres)
    worker.hold()
    before = seen(postgres, "a").seen_at
    until(lambda: seen(postgres, "a").seen_at > before)
    worker.drain()
    assert seen(postgres, "a").draining
    worker.release()


def test_a_client_is_worked_on_once(postgres: Engine) -> None:
    """Never two runs of one client at once: in one process, and in two."""
    first, second = presence(postgres, "a"), presence(postgres, "b")
    for worker in (first, second):
        worker.hold()
    with first.turn("client", refuse):
        for worker in (first, second):
            with pytest.raises(TurnRefused), worker.turn("client", refuse):
                pass
        with second.turn("another", refuse):
            pass
    with second.turn("client", refuse):
        pass
    for worker in (first, second):
        worker.release()


def test_without_work_a_lost_connection_is_made_again(postgres: Engine, postgres_url: str) -> None:
    """An API that has its worker within goes on when its database was started again."""
    worker = presence(postgres)
    worker.hold()
    cut(postgres_url)
    until(lambda: not worker.held)
    with pytest.raises(TurnRefused), worker.turn("client", refuse):
        pass
    until(lambda: worker.held)
    with worker.turn("client", refuse):
        pass
    worker.release()


def cut(url: str) -> None:
    """End every session of the database but one's own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_workers_share_the_place_of_the_state(postgres: Engine) -> None:
    """Several machines: else each would not know what the other made."""
    first = presence(postgres, "a", "folder 1")
    first.hold()
    with pytest.raises(BackendDiffers, match="HANDOVER_ENGINE=official and the same s3://"):
        presence(postgres, "b", "folder 2").hold()
    same = presence(postgres, "c", "folder 1")
    same.hold()
    same.release()
    first.release()
    moved = presence(postgres, "b", "folder 2")
    moved.hold()
    moved.release()


def test_a_sqlite_database_has_one_worker(sqlite: Engine) -> None:
    first = presence(sqlite)
    first.hold()
    with pytest.raises(DatabaseInUse, match="HANDOVER_DATABASE_URL"):
        presence(sqlite, "b").hold()
    with first.turn("client", refuse), pytest.raises(TurnRefused), first.turn("client", refuse):
        pass
    first.release()
    second = presence(sqlite, "b")
    second.hold()
    second.release()


def test_on_sqlite_the_workers_before_are_known_to_be_gone(sqlite: Engine) -> None:
    """The file's lock proves it, so that nobody waits for a sign of life of a killed one."""
    first = presence(sqlite, "before")
    first.hold()
    first.locks.close()  # as the kernel does at a kill
    second = presence(sqlite, "after")
    second.hold()
    assert seen(sqlite, "before").stopped_at is not None
    second.release()
