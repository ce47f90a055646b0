"""Copies of SQLite files that belong together, as they are at one instant, while work goes on."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from models.database import BUSY_SECONDS
from service.backup.errors import BackupError


def copy_at_one_instant(files: Mapping[Path, Path]) -> None:
    """Copy each SQLite file to its target; all copies show the same instant.

    Writers of all files wait for the few milliseconds in which a reader of each takes its
    snapshot; the copying itself goes on beside their work. So the copies are what a machine that
    died at that instant would have left. Raises `BackupError`.
    """
    try:
        with ExitStack() as readers:
            snapshots = _snapshots(files, readers)
            for source, reader in snapshots.items():
                _copy(reader, files[source])
    except sqlite3.Error as error:
        names = ", ".join(str(source) for source in files)
        raise BackupError(f"{names} could not be copied: {error}. No backup was made.") from error


def _snapshots(files: Mapping[Path, Path], readers: ExitStack) -> dict[Path, sqlite3.Connection]:
    with ExitStack() as writers:
        for source in files:
            writers.enter_context(_opened(source)).execute("BEGIN IMMEDIATE")
        found = {source: readers.enter_context(_opened(source)) for source in files}
        for reader in found.values():
            reader.execute("BEGIN")
            # A snapshot begins with the first read, not with BEGIN.
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return found


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    # mode=rw: a file that is not there must not be made.
    address = f"file:{quote(str(file))}?mode=rw"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        yield connection
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        connection.close()


def _copy(reader: sqlite3.Connection, target: Path) -> None:
    target.touch(mode=0o600, exist_ok=False)
    copy = sqlite3.connect(target)
    try:
        reader.backup(copy)
        # One file, without a log of its own beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
        [answer] = copy.execute("PRAGMA integrity_check").fetchone()
    finally:
        copy.close()
    if answer != "ok":
        raise BackupError(f"The copy of the database is not sound: {answer}. No backup was made.")
