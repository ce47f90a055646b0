"""Taking a backup while work goes on.

The order makes each mix recoverable (docs/reliability.md has the reasoning): first database and
operations, as of one instant; then the engine's state, which may be newer; the sealing keys last,
since a newer key file still holds the older keys.
"""

import os
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from models.database import require_migrated
from models.sealing import Keyring
from service.assembly import open_database
from service.backup import manifest as contents
from service.backup import postgres
from service.backup.archive import SUFFIX, pack
from service.backup.errors import BackupError
from service.backup.manifest import AuditHead, Manifest, bound_to, member, sha256_of
from service.backup.sqlite import copy_at_one_instant
from service.backup.state import copy_state, folder_of
from service.backup.wrapping import wrap
from service.settings import Settings
from stacks.automation import Stacks
from stacks.backend import Backend, choose_engine

_HEAD = "SELECT sequence, hash FROM audit_events ORDER BY sequence DESC LIMIT 1"
_REVISION = "SELECT version_num FROM alembic_version"


@dataclass(frozen=True)
class TakenBackup:
    """A backup that was written: note `sha256` and the manifest's audit head down elsewhere."""

    file: Path
    sha256: str
    manifest: Manifest


@dataclass(frozen=True)
class _Copied:
    """What the copied database says of itself."""

    kind: str
    revision: str
    audit_head: AuditHead | None


def take_backup(settings: Settings, to: Path) -> TakenBackup:
    """Write a backup to the file, or under a name with the time into the folder.

    Raises `BackupError`, `models.sealing.SealingError` and `DatabaseNotMigrated`; then nothing is
    left behind.
    """
    if settings.backup_passphrase is None:
        raise BackupError(
            "HANDOVER_BACKUP_PASSPHRASE is not set. It wraps the sealing keys: choose one of 12 "
            "characters or more and keep it apart from the backups. No backup was made."
        )
    now = datetime.now(UTC)
    target = _target(to, now)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        staging = Path(tempfile.mkdtemp(prefix=".handover-backup-", dir=target.parent))
        try:
            manifest = _fill(settings, staging, now)
            pack(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except (OSError, SQLAlchemyError) as error:
        raise BackupError(f"The backup could not be written: {error}. None was made.") from error
    return TakenBackup(target, sha256_of(target), manifest)


def _target(to: Path, now: datetime) -> Path:
    if to.name.endswith(SUFFIX):
        if to.exists():
            raise BackupError(f"{to} exists already; a backup never replaces another.")
        return to.absolute()
    return to.absolute() / f"handover-{now:%Y%m%dT%H%M%SZ}{SUFFIX}"


def _fill(settings: Settings, staging: Path, now: datetime) -> Manifest:
    copied = _copy_database(settings, staging)
    state = folder_of(settings.state_url)
    if state is not None:
        copy_state(state, staging / contents.STATE)
    keyring = Keyring.from_file(settings.keyring)
    files = [member(staging, name) for name in _names(staging)]
    _wrap_keys(settings, staging, bound_to(files))
    engine = choose_engine(settings.engine, os.environ)
    manifest = Manifest(
        program=_program_version(),
        made_at=now,
        database="sqlite" if copied.kind == "sqlite" else "postgresql",
        revision=copied.revision,
        engine=engine,
        engine_version=_engine_version(settings, engine == "official"),
        secrets_provider=settings.secrets_provider.split("?")[0],
        backend_url=None if state is not None else settings.state_url.split("?")[0],
        sealing_key=keyring.primary,
        audit_head=copied.audit_head,
        needs=_needs(settings, state),
        files=(*files, member(staging, contents.KEYS)),
    )
    (staging / contents.MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return manifest


def operations_files(settings: Settings) -> list[Path]:
    """Return the durable engine's files in the data directory."""
    return sorted(settings.data_directory.absolute().glob("operations*.db"))


def _names(staging: Path) -> list[str]:
    files = (path for path in staging.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(staging)) for path in files)


def _copy_database(settings: Settings, staging: Path) -> _Copied:
    engine = open_database(settings)
    try:
        require_migrated(engine)
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader:
                # It waits for as long as the dump takes, which is no sign of a frozen process here.
                reader.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                snapshot = reader.execute(text("SELECT pg_export_snapshot()")).scalar_one()
                postgres.dump(settings.database, staging / contents.POSTGRESQL_DUMP, str(snapshot))
                return _described("postgresql", reader)
    finally:
        engine.dispose()
    database = Path(make_url(settings.database).database or "")
    files = {database: staging / contents.SQLITE_DATABASE}
    for file in operations_files(settings):
        (staging / contents.OPERATIONS).mkdir(exist_ok=True, mode=0o700)
        files[file] = staging / contents.OPERATIONS / file.name
    copy_at_one_instant(files)
    return _described_file(files[database])


def _described(kind: str, reader: Connection) -> _Copied:
    head = reader.execute(text(_HEAD)).first()
    revision = str(reader.execute(text(_REVISION)).scalar_one())
    return _Copied(kind, revision, _head(tuple(head) if head else None))


def _described_file(copy: Path) -> _Copied:
    reader = sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        head = reader.execute(_HEAD).fetchone()
        [revision] = reader.execute(_REVISION).fetchone()
    finally:
        reader.close()
    return _Copied("sqlite", revision, _head(head))


def _head(row: tuple[object, ...] | None) -> AuditHead | None:
    return None if row is None else AuditHead(sequence=int(str(row[0])), hash=str(row[1]))


def _wrap_keys(settings: Settings, staging: Path, bound: bytes) -> None:
    assert settings.backup_passphrase is not None  # checked before anything was done
    passphrase = settings.backup_passphrase.get_secret_value()
    file = staging / contents.KEYS
    file.parent.mkdir(mode=0o700)
    file.write_bytes(wrap(settings.keyring.read_bytes(), passphrase, bound))


def _needs(settings: Settings, state: Path | None) -> tuple[str, ...]:
    needs = ["HANDOVER_BACKUP_PASSPHRASE: unwraps the sealing keys"]
    if settings.secrets_provider == "passphrase":
        where = " (of a local service: the content of keys/passphrase)" if settings.local else ""
        needs.append(f"HANDOVER_PASSPHRASE: opens the secrets of the engine's state{where}")
    else:
        needs.append(f"the right to use {settings.secrets_provider.split('?')[0]}")
    if state is None:
        needs.append(f"the engine's state at {settings.state_url.split('?')[0]}, as it is there")
    return tuple(needs)


def _engine_version(settings: Settings, official: bool) -> str:
    engine = "official" if official else "embedded"
    backend = Backend(url=settings.state_url, engine=engine, environment={})  # type: ignore[arg-type]  # a plain str, not the Literal
    return Stacks(backend).engine_version()


def _program_version() -> str:
    try:
        return version("handover")
    except PackageNotFoundError:
        return "0.0.0"
