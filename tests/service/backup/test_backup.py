"""Taking, checking and restoring backups: what is in them, what is refused, and on PostgreSQL."""

import io
import json
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlmodel import select
from typer.testing import CliRunner

from engine.localaws import LocalAws
from models.audit import AuditEvent, ChainAnchor, verify_chain
from models.clients import ClientState
from models.database import create_engine_for, transaction
from models.sealing import Keyring
from service.backup import (
    BackupError,
    restore_backup,
    restore_local,
    take_backup,
    verify_backup,
)
from service.backup.manifest import KEYS, MANIFEST
from service.backup.sqlite import copy_at_one_instant
from service.backup.taking import TakenBackup
from service.backup.wrapping import unwrap, wrap
from service.cli.main import app
from service.local import local_settings
from service.reconcile import survey
from service.settings import Settings
from tests.postgres import PostgresServer
from tests.service.house import house, in_threads

PASSPHRASE = "a passphrase of the backup"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An AWS of this module's own."""
    with LocalAws.start(tmp_path_factory.mktemp("aws")) as local:
        yield local


@pytest.fixture(scope="module")
def lived(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a service that has an open client."""
    folder = tmp_path_factory.mktemp("lived") / "data"
    with house(folder, aws) as home:
        home.open("ABC-LLC")
    return folder


@pytest.fixture
def settings(lived: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of that service, with a passphrase for its backups and its state's own."""
    monkeypatch.setenv("HANDOVER_BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("HANDOVER_PASSPHRASE", (lived / "keys" / "passphrase").read_text().strip())
    return local_settings(lived)


@pytest.fixture
def taken(settings: Settings, tmp_path: Path) -> TakenBackup:
    """A backup of it."""
    return take_backup(settings, tmp_path / "backups")


def altered(file: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a backup with one file changed."""
    copy = file.with_name("altered.tar.gz")
    with tarfile.open(file) as old, tarfile.open(copy, "w:gz") as new:
        for info in old:
            stream = old.extractfile(info)
            assert stream is not None
            content = stream.read()
            if info.name == name:
                content = change(content)
                info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return copy


def test_a_backup_is_private_named_by_its_time_and_good(taken: TakenBackup) -> None:
    assert taken.file.stat().st_mode & 0o777 == 0o600
    assert taken.file.name == f"handover-{taken.manifest.made_at:%Y%m%dT%H%M%SZ}.tar.gz"
    assert verify_backup(taken.file, PASSPHRASE) == taken.manifest
    assert [path.name for path in taken.file.parent.iterdir()] == [taken.file.name]


def test_the_manifest_anchors_the_audit_chain_and_names_what_is_needed(
    taken: TakenBackup, settings: Settings
) -> None:
    """RX-23: a chain that is cut off later no longer holds the noted head."""
    manifest = taken.manifest
    assert manifest.audit_head is not None
    database = create_engine_for(settings.database)
    with transaction(database, write=False) as session:
        anchor = ChainAnchor(manifest.audit_head.sequence, manifest.audit_head.hash)
        assert verify_chain(session, anchor=anchor).ok
    database.dispose()
    assert manifest.sealing_key == Keyring.from_file(settings.keyring).primary
    assert any("HANDOVER_PASSPHRASE" in need for need in manifest.needs)


@pytest.mark.parametrize("name", ["database.sqlite", KEYS, MANIFEST])
def test_an_altered_backup_is_refused(taken: TakenBackup, tmp_path: Path, name: str) -> None:
    file = altered(taken.file, name, lambda content: content[:-40] + b"0" * 40)
    with pytest.raises(BackupError):
        verify_backup(file, PASSPHRASE)
    with pytest.raises(BackupError):
        restore_local(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_files_exchanged_together_with_their_digests_do_not_fit_the_keys(
    taken: TakenBackup, tmp_path: Path
) -> None:
    """The wrapped keys are bound to all other files: a manifest made anew gives that away."""

    def forget_first(content: bytes) -> bytes:
        manifest = json.loads(content)
        manifest["files"][0]["sha256"] = "0" * 64
        return json.dumps(manifest).encode()

    file = altered(taken.file, MANIFEST, forget_first)
    with pytest.raises(BackupError, match="not as it was backed up"):
        verify_backup(file)
    wrapped = wrap(b"keys", PASSPHRASE, b"bound to this")
    assert unwrap(wrapped, PASSPHRASE, b"bound to this") == b"keys"
    with pytest.raises(BackupError, match="exchanged"):
        unwrap(wrapped, PASSPHRASE, b"bound to that")


def test_a_half_written_file_is_no_backup(taken: TakenBackup) -> None:
    half = taken.file.with_name("half.tar.gz")
    content = taken.file.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackupError, match="damaged"):
        verify_backup(half)
    with pytest.raises(BackupError, match="no file"):
        verify_backup(half.with_name("none.tar.gz"))


def test_wrong_passphrases_restore_nothing(
    taken: TakenBackup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOVER_BACKUP_PASSPHRASE", "another passphrase")
    with pytest.raises(BackupError, match="HANDOVER_BACKUP_PASSPHRASE"):
        restore_local(taken.file, tmp_path / "new")
    monkeypatch.setenv("HANDOVER_BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("HANDOVER_PASSPHRASE", "of another service")
    with pytest.raises(BackupError, match="HANDOVER_PASSPHRASE does not open"):
        restore_local(taken.file, tmp_path / "new")
    monkeypatch.delenv("HANDOVER_PASSPHRASE")
    with pytest.raises(BackupError, match="keys/passphrase"):
        restore_local(taken.file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_backup_is_restored_only_where_nothing_is(
    taken: TakenBackup, tmp_path: Path, lived: Path, settings: Settings
) -> None:
    before = sorted(lived.rglob("*"))
    with pytest.raises(BackupError, match="not empty"):
        restore_local(taken.file, lived)
    with pytest.raises(BackupError, match="exists already"):
        restore_backup(taken.file, settings)
    assert sorted(lived.rglob("*")) == before


def test_without_a_passphrase_no_backup_is_made(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="HANDOVER_BACKUP_PASSPHRASE"):
        take_backup(settings.model_copy(update={"backup_passphrase": None}), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_backup_replaces_nothing(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "one.tar.gz"
    take_backup(settings, file)
    with pytest.raises(BackupError, match="exists already"):
        take_backup(settings, file)


def test_a_restore_is_told_in_the_audit_chain(
    taken: TakenBackup, tmp_path: Path, aws: LocalAws
) -> None:
    restored = restore_local(taken.file, tmp_path / "new")
    assert "handover reconcile" in " ".join(restored.next_steps)
    with house(tmp_path / "new", aws) as home:
        with transaction(home.services.database, write=False) as session:
            query = select(AuditEvent).where(AuditEvent.action == "backup.restored")
            [event] = session.exec(query).all()
            assert verify_chain(session).ok
        assert event.data["sha256"] == taken.sha256
        assert survey(home.services) == []


def test_copies_of_one_instant(tmp_path: Path) -> None:
    """Two files that are written in turn: no copy of the second is ahead of that of the first."""
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    for file in (first, second):
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE counted (number INTEGER)")
    stop = False

    def write() -> None:
        with sqlite3.connect(first, timeout=10) as one, sqlite3.connect(second, timeout=10) as two:
            number = 0
            while not stop:
                number += 1
                for connection in (one, two):
                    connection.execute("INSERT INTO counted VALUES (?)", (number,))
                    connection.commit()

    def copy() -> None:
        nonlocal stop
        try:
            for turn in range(20):
                targets = {first: tmp_path / f"one-{turn}", second: tmp_path / f"two-{turn}"}
                copy_at_one_instant(targets)
                highest = [_highest(target) for target in targets.values()]
                assert highest[0] - highest[1] in (0, 1), highest
        finally:
            stop = True

    in_threads(2, lambda number: (write, copy)[number]())


def _highest(file: Path) -> int:
    with sqlite3.connect(file) as connection:
        return int(connection.execute("SELECT coalesce(max(number), 0) FROM counted").fetchone()[0])


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Another new, empty database on the same server."""
    name = f"restored_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield postgres_server.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_postgresql(
    tmp_path: Path, postgres_url: str, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dump of one snapshot; restored only into an empty database, and work goes on."""
    monkeypatch.setenv("HANDOVER_BACKUP_PASSPHRASE", PASSPHRASE)
    old_folder, new_folder = tmp_path / "old", tmp_path / "new"
    with LocalAws.start(tmp_path / "aws") as aws:
        with house(old_folder, aws, changes={"database_url": postgres_url}) as old:
            old.open("Postgres-LLC")
            for number in range(6):
                assert old.ask_open(f"Under-way-{number}").status_code == 202
            settings = old.services.settings
            taken = take_backup(settings, tmp_path / "backups")
            old.settle()
        elsewhere = settings.model_copy(update={"data_directory": new_folder})
        with pytest.raises(BackupError, match="is not empty"):
            restore_backup(taken.file, elsewhere)
        assert verify_backup(taken.file, PASSPHRASE).database == "postgresql"
        changes = {"database_url": empty_url}
        restore_backup(taken.file, elsewhere.model_copy(update=changes))
        shutil.copy(old_folder / "keys" / "passphrase", new_folder / "keys" / "passphrase")
        with house(new_folder, aws, changes=changes) as new:
            new.settle()
            assert {client.state for client in new.clients()} == {ClientState.open}
            assert survey(new.services) == []


def test_the_commands(taken: TakenBackup, settings: Settings, lived: Path, tmp_path: Path) -> None:
    """`handover backup`, `backup verify` and `restore` say what they did, as text and as JSON."""
    run = CliRunner()
    made = run.invoke(app, ["backup", "--to", str(tmp_path / "b"), "--data", str(lived), "--json"])
    file = json.loads(made.stdout)["file"]
    checked = run.invoke(app, ["backup", "verify", file])
    assert (checked.exit_code, "is good" in checked.stdout) == (0, True), checked.output
    done = run.invoke(app, ["restore", file, "--data", str(tmp_path / "new")])
    assert "handover reconcile --mend" in " ".join(done.stdout.split()), done.output
    nothing = run.invoke(app, ["backup", "--to", str(tmp_path), "--data", str(tmp_path / "none")])
    assert nothing.exit_code == 1
    assert not (tmp_path / "none").exists()


def test_a_refusal_is_a_sentence(
    taken: TakenBackup, settings: Settings, lived: Path, tmp_path: Path
) -> None:
    words = ["restore", str(taken.file), "--data", str(lived), "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "service", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    error = json.loads(ended.stderr)["error"]
    assert (ended.returncode, error["code"]) == (1, "BackupError")
