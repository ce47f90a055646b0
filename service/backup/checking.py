"""Checking a backup without restoring it: whole, sound, its audit chain unbroken, its keys fit."""

import tempfile
from pathlib import Path

from models.audit import ChainAnchor, verify_chain
from models.database import create_engine_for, transaction
from service.backup import manifest as contents
from service.backup import postgres
from service.backup.archive import unpack
from service.backup.errors import BackupError
from service.backup.manifest import Manifest, bound_to
from service.backup.wrapping import unwrap


def verify_backup(file: Path, passphrase: str | None = None) -> Manifest:
    """Return the manifest of a backup that is good; raises `BackupError` for one that is not.

    With the passphrase the keys are unwrapped as well. The audit chain is recomputed where the
    database is SQLite; of a PostgreSQL dump the table of contents is read.
    """
    with tempfile.TemporaryDirectory(prefix="handover-verify-") as name:
        folder = Path(name)
        manifest = unpack(file, folder)
        if passphrase is not None:
            unwrapped_keys(folder, manifest, passphrase)
        if manifest.database == "postgresql":
            postgres.check(folder / contents.POSTGRESQL_DUMP)
        else:
            _follow_chain(file, folder, manifest)
        return manifest


def unwrapped_keys(folder: Path, manifest: Manifest, passphrase: str) -> bytes:
    """Return the content of the key file of an unpacked backup; raises `BackupError`."""
    wrapped = (folder / contents.KEYS).read_bytes()
    return unwrap(wrapped, passphrase, bound_to(manifest.files))


def _follow_chain(file: Path, folder: Path, manifest: Manifest) -> None:
    head = manifest.audit_head
    anchor = ChainAnchor(head.sequence, head.hash) if head else None
    database = create_engine_for(f"sqlite:///{folder / contents.SQLITE_DATABASE}")
    try:
        with transaction(database, write=False) as session:
            report = verify_chain(session, anchor=anchor)
    finally:
        database.dispose()
    if not report.ok:
        raise BackupError(
            f"The audit chain in {file} does not hold at event {report.first_bad_sequence}: the "
            "database was altered before it was backed up. Use an older backup, and find out who."
        )
