"""Durable, atomic writing of small files."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, durable: bool, exclusive: bool = False) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part.

    ``durable`` also makes it survive a loss of power (fsync of file and folder). Missing folders
    are made, for the owner only, and so is the file. ``exclusive`` says that nobody else writes
    this file now: the temporary file then has a fixed name, so that one that a killed process left
    is used again.
    """
    unique = "" if exclusive else f".{os.getpid()}-{threading.get_ident()}"
    temporary = path.parent / f".{path.name}{unique}.tmp"
    try:
        descriptor = _open_new(temporary)
    except FileNotFoundError:
        make_directory(path.parent)
        descriptor = _open_new(temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def _open_new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def make_directory(directory: Path) -> None:
    """Make a folder and those above it, durably and for the owner only."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_or_copy(source: Path, target: Path) -> None:
    """Give the present content of ``source`` a second name, replacing ``target``.

    A hard link is enough because checkpoints are replaced, never changed in place. Nobody else may
    write ``target`` now.
    """
    make_directory(target.parent)
    temporary = target.parent / f".{target.name}.tmp"
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
        temporary.replace(target)
        # Renaming one name of a file onto another name of the same file does nothing.
        temporary.unlink(missing_ok=True)
    except OSError:
        temporary.unlink(missing_ok=True)
        write_atomically(target, source.read_bytes(), durable=False, exclusive=True)
