"""The database fills up, or is closed to changes, in the middle of a step: work stands still.

When there is room again it ends by itself, once; nothing was rolled back or counted as an attempt.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlmodel import col, func, select

from engine.localaws import LocalAws
from models.audit import AuditEvent, verify_chain
from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationState
from models.records import Record
from service.reconcile import survey
from service.worker import opening
from tests.postgres import PostgresServer, new_database
from tests.service.house import House, house
from tests.service.test_doors import aws as aws
from tests.service.test_doors import disk as disk
from tests.service.test_doors import fill, keys_in_aws, operations
from tests.small_disk import SmallDisk, small_disk
from tests.waiting import until

STANDS = 2.0
"""Seconds that the work is watched while it stands still: several tries."""

Hook = Callable[[Callable[[], Any]], None]


@pytest.fixture
def once_made(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Have something done once, when AWS has made a key and before it is written down."""

    def arrange(act: Callable[[], Any]) -> None:
        write_down, left = opening.write_down, [act]

        def acted(*arguments: Any) -> None:
            if left:
                left.pop()()
            write_down(*arguments)

        monkeypatch.setattr(opening, "write_down", acted)

    return arrange


@pytest.fixture(params=["database", "notes", "both"])
def places(request: pytest.FixtureRequest, tmp_path: Path, disk: SmallDisk) -> dict[str, Any]:
    """What is on the small disk: the database, the durable engine's notes, or both."""
    folder = tmp_path if request.param == "database" else disk.folder
    database = tmp_path if request.param == "notes" else disk.folder
    changes = {
        "database_url": f"sqlite:///{database / 'handover.db'}",
        "backend_url": f"file://{tmp_path / 'state'}",
        "disk_floor_mb": 1,
    }
    return {"folder": folder / "data", "changes": changes}


def stands_still(home: House, slug: str) -> None:
    """Want the operation to stay unfinished with its one key, whatever is tried meanwhile."""
    [key] = until(lambda: keys_in_aws(home, slug), lambda: operations(home, slug))
    watched = time.monotonic() + STANDS
    while time.monotonic() < watched:
        [operation] = operations(home, slug)
        assert operation.finished_at is None, operation
        assert keys_in_aws(home, slug) == [key]
        time.sleep(0.1)


def ended_once(home: House, slug: str) -> None:
    """Want one success: one key in AWS, one record, one audit event, and no try that failed."""
    home.settle()
    [operation] = operations(home, slug)
    assert operation.state is OperationState.succeeded, operation.failure_detail
    assert operation.attempts <= 1
    assert operation.waiting_for is None
    client = home.client(slug)
    [key] = keys_in_aws(home, slug)
    assert [row.access_key_id for row in home.keys(slug)] == [key]
    with transaction(home.services.database, write=False) as session:
        records = session.exec(select(Record).where(Record.client_id == client.id)).all()
        assert len(records) == 1
        opened = col(AuditEvent.action) == "client.opened"
        mine = select(func.count()).select_from(AuditEvent).where(opened)
        assert session.exec(mine.where(AuditEvent.client_id == client.id)).one() == 1
        assert verify_chain(session).ok
    home.close(slug)
    assert survey(home.services) == []


def test_a_disk_that_fills_up_in_the_middle_of_a_step(
    aws: LocalAws, disk: SmallDisk, places: dict[str, Any], once_made: Hook, unique: str
) -> None:
    with house(places["folder"], aws, changes=places["changes"]) as home:
        once_made(lambda: fill(home, disk))
        assert home.ask_open(unique).status_code == 202
        stands_still(home, unique)
        disk.free()
        ended_once(home, unique)


def test_a_stop_while_the_disk_is_full(
    aws: LocalAws,
    disk: SmallDisk,
    places: dict[str, Any],
    once_made: Hook,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker ends as soon as it may, and the next one carries on."""
    with house(places["folder"], aws, changes=places["changes"]) as home:
        once_made(lambda: fill(home, disk))
        assert home.ask_open(unique).status_code == 202
        stands_still(home, unique)
    assert "did not end in time" not in caplog.text
    disk.free()
    with house(places["folder"], aws, changes=places["changes"]) as home:
        home.settle()
        [operation] = operations(home, unique)
        assert operation.state is OperationState.succeeded, operation.failure_detail
        assert len(keys_in_aws(home, unique)) == 1
        home.close(unique)
        assert survey(home.services) == []


@pytest.mark.parametrize("why", ["cancelled", "DeadlineExceeded"])
def test_cancelling_and_the_deadline_hold_meanwhile(
    tmp_path: Path, aws: LocalAws, disk: SmallDisk, once_made: Hook, unique: str, why: str
) -> None:
    """What was made is taken away although it can't be written down yet."""
    changes = {"database_url": f"sqlite:///{disk.folder / 'handover.db'}", "disk_floor_mb": 1}
    held: list[list[str]] = []
    with house(tmp_path / "data", aws, changes=changes) as home:

        def act() -> None:
            [operation] = operations(home, unique)
            if why == "cancelled":
                path = f"/v1/operations/{operation.id}/cancel"
                assert home.api.post(path, json={"reason": "of the test"}).status_code < 300
            else:
                time_is_up(home, operation)
            fill(home, disk)
            held.append(keys_in_aws(home, unique))

        once_made(act)
        assert home.ask_open(unique).status_code == 202
        assert len(until(lambda: held)[0]) == 1
        until(lambda: not keys_in_aws(home, unique))
        time.sleep(1)
        [operation] = operations(home, unique)
        assert operation.finished_at is None
        disk.free()
        home.settle()
        [operation] = operations(home, unique)
        said = operation.failure_code or operation.state.value
        assert said == why
        assert any("User" in undone for undone in operation.rolled_back), operation.rolled_back
        assert survey(home.services) == []


def time_is_up(home: House, operation: Operation) -> None:
    """Have the operation's deadline pass."""
    with transaction(home.services.database) as session:
        session.get_one(Operation, operation.id).deadline_at = utc_now() - timedelta(seconds=1)


def test_a_postgresql_that_is_closed_to_changes_meanwhile(
    tmp_path: Path, aws: LocalAws, once_made: Hook, postgres_url: str, unique: str
) -> None:
    with house(tmp_path / "data", aws, changes={"database_url": postgres_url}) as home:
        once_made(lambda: read_only(home, postgres_url, "on"))
        assert home.ask_open(unique).status_code == 202
        stands_still(home, unique)
        read_only(home, postgres_url, "off")
        ended_once(home, unique)


def read_only(home: House, url: str, state: str) -> None:
    """Close the database to changes, as an administrator or a failover does, or open it again."""
    name = sql.Identifier(str(make_url(url).database))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(
                name, sql.SQL(state)
            )
        )
    home.services.database.dispose()


def test_a_postgresql_whose_disk_is_full_meanwhile(
    tmp_path: Path, aws: LocalAws, once_made: Hook, postgres_server: PostgresServer, unique: str
) -> None:
    """No table has room to grow, so that the first record finds none."""
    with (
        tables_on_small_disk(postgres_server) as (disk, url),
        house(tmp_path / "data", aws, changes={"database_url": url}) as home,
    ):
        once_made(disk.fill)
        assert home.ask_open(unique).status_code == 202
        stands_still(home, unique)
        disk.free()
        ended_once(home, unique)


@contextmanager
def tables_on_small_disk(server: PostgresServer) -> Iterator[tuple[SmallDisk, str]]:
    """A database whose tables are on a disk of 16 MB, and its URL."""
    # Beside the server's data, as the server's account enters no folder of the test's.
    owner = (server.folder / "data").stat()
    with (
        small_disk(server.folder / "small", 16) as disk,
        psycopg.connect(server.url("postgres"), autocommit=True) as connection,
    ):
        tables = disk.folder / "tables"
        tables.mkdir(mode=0o700)
        for folder in (disk.folder, tables):
            os.chown(folder, owner.st_uid, owner.st_gid)
        place = sql.Literal(str(tables))
        connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(place))
        try:
            with new_database(server) as url:
                name = sql.Identifier(str(make_url(url).database))
                connection.execute(
                    sql.SQL("ALTER DATABASE {} SET default_tablespace = small").format(name)
                )
                yield disk, url
        finally:
            connection.execute("DROP TABLESPACE small")
    disk.folder.rmdir()
