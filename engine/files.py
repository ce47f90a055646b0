"""Durable, atomic writing of small files."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, durable: bool) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part.

    ``durable`` also makes it survive a loss of power (fsync of file and folder). The folder is
    made when it is missing. The file is readable by its owner only.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        descriptor = _open_new(temporary)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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


def sync_directory(directory: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_or_copy(source: Path, target: Path) -> None:
    """Give the present content of ``source`` a second name, replacing ``target``.

    A hard link is enough because checkpoints are replaced, never changed in place.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.parent / f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        os.link(source, temporary)
        temporary.replace(target)
        # Renaming one name of a file onto another name of the same file does nothing.
        temporary.unlink(missing_ok=True)
    except OSError:
        temporary.unlink(missing_ok=True)
        write_atomically(target, source.read_bytes(), durable=False)
