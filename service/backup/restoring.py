"""Restoring a backup on a new machine, so that the service carries on from it.

Everything is checked before anything is put in its place, and a failure takes back what was put.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from sqlmodel import Session, col, select, update

from models.audit import AuditEntry, append_audit
from models.clients import Client, ClientState
from models.database import alembic_config, create_engine_for, transaction, upgrade
from models.operations import UNFINISHED, Operation
from service.accounts import ensure_operator
from service.assembly import open_database
from service.backup import manifest as contents
from service.backup import postgres
from service.backup.archive import unpack
from service.backup.checking import unwrapped_keys
from service.backup.errors import BackupError
from service.backup.manifest import Manifest, sha256_of
from service.backup.state import folder_of, refuse_wrong_passphrase
from service.backup.taking import operations_files
from service.settings import Settings
from service.suspension.wishes import suspend
from service.wishes import Requester

RESUMING_AT_BACKUP = "Was being resumed when the backup was made: decide anew"
"""The reason of a suspension that a restore brings back."""


@dataclass(frozen=True)
class Restored:
    """A backup that was restored, and what is to be done next."""

    manifest: Manifest
    revision: str
    next_steps: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """An unpacked backup, checked."""

    file: Path
    folder: Path
    manifest: Manifest
    keys: bytes


def restore_backup(file: Path, settings: Settings) -> Restored:
    """Restore the backup to where these settings say the service's data are.

    Refuses places that hold something already, a damaged backup, a wrong passphrase, and a backup
    of a newer version. Brings an older schema up to date. Raises `BackupError`.
    """
    _refuse_occupied(settings)
    settings.data_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = Path(tempfile.mkdtemp(prefix=".restoring-", dir=settings.data_directory.absolute()))
    try:
        source = _checked(file, staging, settings)
        revision = _put(source, settings)
    except OSError as error:
        raise BackupError(f"The backup could not be restored: {error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Restored(source.manifest, revision, _next_steps(settings))


def _refuse_occupied(settings: Settings) -> None:
    taken = [settings.keyring, *operations_files(settings)]
    if _is_sqlite(settings):
        taken.append(_database_file(settings))
    else:
        database = open_database(settings)
        try:
            postgres.refuse_unless_empty(database)
        finally:
            database.dispose()
    state = folder_of(settings.state_url)
    if state is not None and state.is_dir():
        taken += list(state.iterdir())
    for place in taken:
        if place.exists():
            raise BackupError(
                f"{place} exists already. A backup is restored only where nothing is; move it "
                "away, or restore into another folder. Nothing was changed."
            )


def _checked(file: Path, staging: Path, settings: Settings) -> _Source:
    manifest = unpack(file, staging)
    kind = "sqlite" if _is_sqlite(settings) else "postgresql"
    if manifest.database != kind:
        raise BackupError(
            f"The backup is one of {manifest.database}, and HANDOVER_DATABASE_URL names {kind}. "
            "Nothing was restored."
        )
    _refuse_newer(manifest)
    if settings.backup_passphrase is None:
        raise BackupError(
            "HANDOVER_BACKUP_PASSPHRASE is not set; the backup's sealing keys need it. Nothing "
            "was restored."
        )
    keys = unwrapped_keys(staging, manifest, settings.backup_passphrase.get_secret_value())
    passphrase = settings.passphrase.get_secret_value() if settings.passphrase else None
    if manifest.secrets_provider == "passphrase":
        refuse_wrong_passphrase(staging / contents.STATE, passphrase)
    return _Source(file, staging, manifest, keys)


def _refuse_newer(manifest: Manifest) -> None:
    revisions = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    if manifest.revision not in {script.revision for script in revisions}:
        raise BackupError(
            f"The backup is one of a newer version ({manifest.program}, schema "
            f"{manifest.revision}); install that version or a newer one. Nothing was restored."
        )


def _put(source: _Source, settings: Settings) -> str:
    copy = source.folder / contents.SQLITE_DATABASE
    if _is_sqlite(settings):
        _bring_up(f"sqlite:///{copy}", source)
    with _all_or_nothing() as placed:
        for origin, target in _files(source, settings):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            placed.append(target)
            shutil.move(origin, target)
        placed.append(settings.keyring)
        settings.keyring.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.keyring.touch(mode=0o600)
        settings.keyring.write_bytes(source.keys)
        if not _is_sqlite(settings):
            postgres.restore(settings.database, source.folder / contents.POSTGRESQL_DUMP)
            _bring_up(settings.database, source)
    return upgrade(settings.database)


def _files(source: _Source, settings: Settings) -> Iterator[tuple[Path, Path]]:
    if _is_sqlite(settings):
        yield source.folder / contents.SQLITE_DATABASE, _database_file(settings)
    operations = source.folder / contents.OPERATIONS
    if operations.is_dir():
        for file in operations.iterdir():
            yield file, settings.data_directory.absolute() / file.name
    state, folder = source.folder / contents.STATE, folder_of(settings.state_url)
    if state.is_dir() and folder is not None:
        for entry in state.iterdir():
            yield entry, folder / entry.name


@contextmanager
def _all_or_nothing() -> Iterator[list[Path]]:
    placed: list[Path] = []
    try:
        yield placed
    except BaseException:
        for place in placed:
            with suppress(OSError):
                if place.is_dir():
                    shutil.rmtree(place, ignore_errors=True)
                else:
                    place.unlink(missing_ok=True)
        raise


def _bring_up(url: str, source: _Source) -> None:
    """Migrate, let any worker take up what was under way, and write down that this was restored."""
    upgrade(url)
    database = create_engine_for(url)
    try:
        with transaction(database) as session:
            unfinished = col(Operation.state).in_(sorted(UNFINISHED))
            # Who worked on it is on another machine, and may never come back.
            session.exec(update(Operation).where(unfinished).values(worker=None))
            operator = ensure_operator(session)
            _suspend_again(session, Requester(operator.id))
            digest = sha256_of(source.file)
            made_at = source.manifest.made_at.isoformat()
            data = {"sha256": digest, "made_at": made_at}
            entry = AuditEntry(operator.id, "backup.restored", "backup", digest[:32], data=data)
            append_audit(session, entry)
    finally:
        database.dispose()


def _suspend_again(session: Session, requester: Requester) -> None:
    """Suspend anew who was being resumed at the backup: nobody knows what has happened since."""
    resuming = col(Client.suspended_at).is_(None) & col(Client.cut_at).is_not(None)
    living = Client.state != ClientState.closed
    for client in session.exec(select(Client).where(resuming, living).with_for_update()).all():
        suspend(session, client, RESUMING_AT_BACKUP, requester)


def _is_sqlite(settings: Settings) -> bool:
    return make_url(settings.database).get_backend_name() == "sqlite"


def _database_file(settings: Settings) -> Path:
    return Path(make_url(settings.database).database or "").absolute()


def _next_steps(settings: Settings) -> tuple[str, ...]:
    where = f" --local --data {settings.data_directory}" if settings.local else ""
    data = f" --data {settings.data_directory}" if settings.local else ""
    return (
        "See that the old machine is off: two services on one AWS account undo each other's work.",
        f"Look what AWS and the records disagree on: handover reconcile{data}. A key that is off "
        "in AWS may have leaked since the backup; it stays off.",
        f"Have it put right: handover reconcile --mend{data}",
        f"Start the service: handover serve{where}. What was under way ends by itself.",
        "When it has, reconcile again until nothing is found: clients at work were left out.",
        "Before a client that is suspended is resumed, rotate it with now=true, unless you know "
        "that none of its keys has leaked since the backup.",
    )
