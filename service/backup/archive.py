"""The one file that a backup is: a compressed tar, written whole or not at all."""

import contextlib
import os
import shutil
import tarfile
from pathlib import Path

from pydantic import ValidationError

from service.backup.errors import BackupError
from service.backup.manifest import MANIFEST, Manifest, member

SUFFIX = ".tar.gz"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def pack(folder: Path, target: Path) -> None:
    """Write the folder's files into the archive, durably; the target appears when it is whole."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=5) as archive:
                for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                    archive.add(file, str(file.relative_to(folder)), filter=_anonymous)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def unpack(file: Path, folder: Path) -> Manifest:
    """Write the archive's files into the folder and return its manifest, checked against them.

    Raises `BackupError` for a file that is no backup, or not as it was written.
    """
    try:
        with tarfile.open(file, "r:gz") as archive:
            for info in archive:
                _extract(archive, info, folder)
    except FileNotFoundError:
        raise BackupError(f"There is no file {file}.") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BackupError(f"{file} is no backup, or it is damaged: {error}.") from error
    manifest = _manifest(file, folder)
    _compare(file, folder, manifest)
    return manifest


def _manifest(file: Path, folder: Path) -> Manifest:
    with contextlib.suppress(OSError, ValidationError):
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    raise BackupError(f"{file} has no manifest that this version can read.")


def _compare(file: Path, folder: Path, manifest: Manifest) -> None:
    promised = {entry.name: entry for entry in manifest.files}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(promised.keys() ^ (there - {MANIFEST})):
        state = "lacks" if name in promised else "holds what its manifest does not name:"
        raise BackupError(f"{file} {state} {name}; use another backup.")
    for entry in promised.values():
        if member(folder, entry.name) != entry:
            raise BackupError(f"{entry.name} in {file} is not as it was backed up; use another.")


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose files these were here: it means nothing elsewhere."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo, folder: Path) -> None:
    """Write one plain file below the folder; by hand, as Python has filters since 3.11.4 only."""
    target = (folder / info.name).resolve()
    content = archive.extractfile(info) if info.isfile() else None
    if content is None or not target.is_relative_to(folder.resolve()):
        raise tarfile.ExtractError(f"{info.name} is not a plain file inside")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with content, os.fdopen(os.open(target, _NEW, 0o600), "wb") as stream:
        shutil.copyfileobj(content, stream)
