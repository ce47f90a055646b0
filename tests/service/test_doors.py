"""Faults of our own machine: refused at the door with a clear 503, and nothing half-written."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, event, make_url
from sqlmodel import func, select

from engine.localaws import LocalAws
from models.audit import AuditEvent, verify_chain
from models.clients import Client, ClientState
from models.database import transaction
from models.operations import Operation, OperationState
from models.sealing import KeyFileMissing
from service.context import Services
from service.reconcile import survey
from service.worker import opening
from tests.service.house import House, house
from tests.small_disk import SmallDisk, small_disk
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An AWS of this module's own, which the survey may find to be empty."""
    with LocalAws.start(tmp_path_factory.mktemp("aws")) as local:
        yield local


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 8 MB."""
    with small_disk(tmp_path / "disk", 8) as mounted:
        yield mounted


def rows(services: Services) -> list[int]:
    """How many rows the tables hold that an opening writes to."""
    with transaction(services.database, write=False) as session:
        return [
            session.exec(select(func.count()).select_from(table)).one()
            for table in (Client, Operation, AuditEvent)
        ]


def refused(answer: httpx.Response, name: str) -> None:
    """Want this problem, with a remedy behind its type and a time to try again."""
    assert (answer.status_code, answer.json()["type"]) == (503, f"/problems/{name}"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def check(home: House, name: str) -> dict[str, Any]:
    """One check of `/readyz`."""
    found = {each["name"]: each for each in home.api.get("/readyz").json()["checks"]}
    one: dict[str, Any] = found[name]
    return one


def test_little_space_refuses_openings_and_nothing_else(tmp_path: Path, aws: LocalAws) -> None:
    """Closing and suspending take access away: they go on as long as anything does."""
    with house(tmp_path / "data", aws) as home:
        home.open("ABC-LLC", "Other-LLC")
        before = rows(home.services)
        home.services.settings.disk_floor_mb = 1 << 30
        refused(home.ask_open("New-LLC"), "storage-low")
        assert rows(home.services) == before
        assert not check(home, "disk")["ok"]
        page = home.api.get("/problems/storage-low")
        assert "HANDOVER_DISK_FLOOR_MB" in page.text

        answer = home.api.post("/v1/clients/ABC-LLC/suspend", json={"reason": "of the test"})
        assert answer.status_code == 200, answer.text
        home.close("ABC-LLC")
        refused(home.api.post("/v1/clients/ABC-LLC/reopen"), "storage-low")

        home.services.settings.disk_floor_mb = 1
        assert check(home, "disk")["ok"]
        home.open("New-LLC")
        home.close("New-LLC", "Other-LLC")


def lose_space(home: House) -> Callable[[], None]:
    """Have less free than the floor; return what mends it."""
    settings = home.services.settings
    floor, settings.disk_floor_mb = settings.disk_floor_mb, 1 << 30
    return lambda: setattr(settings, "disk_floor_mb", floor)


def lose_keys(home: House) -> Callable[[], None]:
    """Lose the key file; return what puts it back."""
    file = home.services.settings.keyring
    kept = file.rename(file.with_name("kept.json"))

    def put_back() -> None:
        kept.rename(file)

    return put_back


SICK = [(lose_space, "storage-low"), (lose_keys, "sealing-keys-lost")]


@pytest.mark.parametrize(("lose", "name"), SICK)
def test_a_sick_machine_rotates_no_key_but_cuts_a_leaked_one(
    tmp_path: Path,
    aws: LocalAws,
    unique: str,
    lose: Callable[[House], Callable[[], None]],
    name: str,
) -> None:
    """RX-22: cutting works always; what could not be sealed, or written, is made later."""
    with house(tmp_path / "data", aws) as home:
        home.open(unique)
        before, [old] = rows(home.services), home.keys(unique)
        mend = lose(home)
        refused(home.api.post(f"/v1/clients/{unique}/rotate"), name)
        assert rows(home.services) == before
        assert len(home.keys(unique)) == 1

        answer = home.api.post(f"/v1/clients/{unique}/rotate", params={"now": "true"})
        assert answer.status_code == 202, answer.text
        assert statuses(home, unique) == {old.access_key_id: "Inactive"}
        wait_for(home, unique, "The new key waits")
        assert check(home, "aws_identity")["ok"], "AWS is not to blame"
        assert statuses(home, unique) == {old.access_key_id: "Inactive"}
        mend()
        home.settle()
        new = home.keys(unique)[-1]
        assert (new.generation, new.proven_at is not None) == (2, True)
        assert statuses(home, unique)[str(new.access_key_id)] == "Active"
        home.close(unique)


def test_a_repair_on_a_sick_machine_does_all_but_make_a_key(
    tmp_path: Path, aws: LocalAws, unique: str
) -> None:
    with house(tmp_path / "data", aws) as home:
        home.open(unique)
        [old] = home.keys(unique)
        home.iam.delete_access_key(UserName=unique, AccessKeyId=old.access_key_id)
        home.iam.remove_user_from_group(UserName=unique, GroupName=home.services.settings.group)
        mend = lose_space(home)
        answer = home.api.post(f"/v1/clients/{unique}/refresh", params={"repair": "true"})
        assert answer.status_code == 202, answer.text
        wait_for(home, unique, "The new key waits")
        assert statuses(home, unique) == {}
        assert home.iam.list_groups_for_user(UserName=unique)["Groups"]
        mend()
        home.settle()
        assert list(statuses(home, unique).values()) == ["Active"]
        home.close(unique)


def statuses(home: House, user: str) -> dict[str, str]:
    listed = home.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    return {key["AccessKeyId"]: key["Status"] for key in listed}


def test_a_full_disk_of_the_database(tmp_path: Path, aws: LocalAws, disk: SmallDisk) -> None:
    changes = {"database_url": f"sqlite:///{disk.folder / 'handover.db'}", "disk_floor_mb": 1}
    with house(tmp_path / "data", aws, changes=changes) as home:
        home.open("Full-LLC")
        before = rows(home.services)
        disk.fill()
        refused(home.ask_open("New-LLC"), "storage-low")
        refused(home.ask_close("Full-LLC"), "storage-full")
        assert home.api.get("/v1/clients/Full-LLC").json()["state"] == "open"
        assert rows(home.services) == before
        disk.free()
        home.close("Full-LLC")
        with transaction(home.services.database, write=False) as session:
            assert verify_chain(session).ok
        assert survey(home.services) == []


def wait_for(home: House, slug: str, words: str) -> None:
    """Wait until the client's operation says that it waits for this."""
    until(
        lambda: any(words in (operation.waiting_for or "") for operation in home.unfinished()),
        lambda: [(o.state, o.step, o.waiting_for) for o in operations(home, slug)],
    )


def operations(home: House, slug: str) -> list[Operation]:
    client = home.client(slug)
    with transaction(home.services.database, write=False) as session:
        return list(session.exec(select(Operation).where(Operation.client_id == client.id)))


@pytest.mark.parametrize("leave", [0, 16384])
def test_a_full_disk_of_the_engines_state(
    tmp_path: Path, aws: LocalAws, disk: SmallDisk, leave: int
) -> None:
    """The operation waits and says for what; when there is room it ends once, with one key.

    ``leave``: bytes that are left, so that the disk is full at the first write or later ones.
    """
    changes = {"backend_url": f"file://{disk.folder / 'state'}", "disk_floor_mb": 1}
    slug = f"State-{leave}-LLC"
    with house(tmp_path / "data", aws, changes=changes):
        pass  # has worked before
    with house(tmp_path / "data", aws, worker=False, changes=changes) as home:
        assert home.ask_open(slug).status_code == 202
    disk.fill(leave=leave)
    with house(tmp_path / "data", aws, changes=changes) as home:
        wait_for(home, slug, "state can't be written")
        keys = keys_in_aws(home, slug)
        assert len(keys) <= 1
        assert check(home, "aws_identity")["ok"], "AWS is not to blame"
        disk.free()
        home.settle()
        [operation] = operations(home, slug)
        assert operation.state is OperationState.succeeded, operation.failure_detail
        assert len(keys_in_aws(home, slug)) == 1
        home.close(slug)
        assert survey(home.services) == []


def keys_in_aws(home: House, user: str) -> list[str]:
    try:
        listed = home.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    except home.iam.exceptions.NoSuchEntityException:
        return []
    return [key["AccessKeyId"] for key in listed]


def fill(home: House, disk: SmallDisk) -> None:
    """Fill the disk, and leave no room in the database's own log either."""
    with home.services.database.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.fill()


def test_a_database_that_fills_up_while_work_goes_on(
    tmp_path: Path, aws: LocalAws, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work stands still until there is room, and then ends once.

    Wherever it is when the disk fills up; but no area is open by then.
    """
    full, write_down = threading.Event(), opening.write_down

    def once_full(*arguments: Any) -> None:
        full.wait(PATIENCE)
        write_down(*arguments)

    monkeypatch.setattr(opening, "write_down", once_full)
    changes = {"database_url": f"sqlite:///{disk.folder / 'handover.db'}", "disk_floor_mb": 1}
    slugs = [f"Filled-{number}" for number in range(4)]
    with house(tmp_path / "data", aws, changes=changes) as home:
        for slug in slugs:
            assert home.ask_open(slug).status_code == 202
        fill(home, disk)
        full.set()
        time.sleep(2)
        assert all(client.state is ClientState.opening for client in home.clients())
        disk.free()
        home.settle()
        for slug in slugs:
            [operation] = operations(home, slug)
            assert operation.finished_at is not None
            assert len(keys_in_aws(home, slug)) == (operation.state is OperationState.succeeded)
        home.close(*(c.slug for c in home.clients() if c.state is ClientState.open))
        assert survey(home.services) == []


@pytest.fixture(params=["sqlite", "postgresql"])
def closed_to_changes(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[dict[str, str], Callable[[House], None]]]:
    """Settings for a database, and what makes it refuse changes."""
    if request.param == "sqlite":
        yield {}, _query_only
        return
    url = request.getfixturevalue("postgres_url")
    yield {"database_url": url}, lambda home: _standby(home, url)


def _query_only(home: House) -> None:
    """SQLite itself refuses writes, as it does on a file system that is mounted read-only."""

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only = ON")

    event.listen(home.services.database, "begin", begun)


def _standby(home: House, url: str) -> None:
    """PostgreSQL refuses writes, as a standby or one that an administrator has closed does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                sql.Identifier(str(make_url(url).database))
            )
        )
    home.services.database.dispose()


def test_a_database_that_takes_no_changes(
    tmp_path: Path,
    aws: LocalAws,
    unique: str,
    closed_to_changes: tuple[dict[str, str], Callable[[House], None]],
) -> None:
    """Reading goes on; whatever would write is refused."""
    changes, close_it = closed_to_changes
    with house(tmp_path / "data", aws, changes=changes) as home:
        home.open(unique)
        before = rows(home.services)
        close_it(home)
        refused(home.ask_open("New-LLC"), "database-read-only")
        refused(home.ask_close(unique), "database-read-only")
        assert home.api.get(f"/v1/clients/{unique}").json()["state"] == "open"
        assert rows(home.services) == before


def test_a_key_file_that_was_lost_while_running(tmp_path: Path, aws: LocalAws) -> None:
    """What would be sealed under keys that are gone could never be opened again."""
    with house(tmp_path / "data", aws) as home:
        home.open("Key-LLC", "Shut-LLC")
        before = rows(home.services)
        file = home.services.settings.keyring
        kept = file.rename(tmp_path / "kept.json")
        refused(home.ask_open("New-LLC"), "sealing-keys-lost")
        assert rows(home.services) == before
        assert not check(home, "sealing_keys")["ok"]
        assert str(tmp_path) not in home.api.get("/readyz").text
        assert home.api.get("/v1/clients/Key-LLC").status_code == 200
        home.close("Shut-LLC")
        kept.rename(file)
        assert check(home, "sealing_keys")["ok"]
        home.open("New-LLC")
        home.close("Key-LLC", "New-LLC")


def test_a_key_file_that_is_missing_at_the_start(tmp_path: Path, aws: LocalAws) -> None:
    """The service starts without its worker: access can still be cut, and nothing else is done."""
    with house(tmp_path / "data", aws) as home:
        home.open("Dark-LLC")
        file = home.services.settings.keyring
    kept = file.rename(tmp_path / "kept.json")
    with pytest.raises(KeyFileMissing), house(tmp_path / "data", aws):
        pass  # a worker alone does not start
    with house(tmp_path / "data", aws, keyless=True) as home:
        assert not file.exists(), "new keys could open nothing that is there"
        found = {each["name"]: each["ok"] for each in home.api.get("/readyz").json()["checks"]}
        assert (found["sealing_keys"], found["worker"]) == (False, False)
        refused(home.ask_open("New-LLC"), "sealing-keys-lost")
        pdf = {"Accept": "application/pdf"}
        refused(home.api.get("/v1/clients/Dark-LLC/record.pdf", headers=pdf), "sealing-keys-lost")
        assert home.api.get("/v1/clients/Dark-LLC").json()["state"] == "open"
        answer = home.api.post("/v1/clients/Dark-LLC/suspend", json={"reason": "of the test"})
        assert answer.status_code == 200, answer.text
        assert home.ask_close("Dark-LLC").status_code == 202
    kept.rename(file)
    with house(tmp_path / "data", aws) as home:
        home.settle()
        assert home.client("Dark-LLC").state is ClientState.closed
