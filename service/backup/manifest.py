"""The manifest of a backup: what is in it, what it needs, and digests to check it by."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

MANIFEST = "manifest.json"
KEYS = "keys/sealing.wrapped.json"
SQLITE_DATABASE = "database.sqlite"
OPERATIONS = "operations"
"""Folder of the durable engine's files, one a worker; SQLite only."""
POSTGRESQL_DUMP = "database.pgdump"
STATE = "state"
_CHUNK = 1 << 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Frozen):
    """One file of the backup: name within it, size in bytes, SHA-256."""

    name: str
    bytes: int
    sha256: str


class AuditHead(_Frozen):
    """The last event of the audit chain: an anchor outside the database (RX-23)."""

    sequence: int
    hash: str


class Manifest(_Frozen):
    """What a backup says of itself; nothing of it is secret.

    `revision` is the database's schema. `backend_url` names the engine's state where it is not in
    the backup, because it is kept elsewhere. `needs` lists what a restore has to be given.
    """

    format: Literal[1] = 1
    program: str
    made_at: datetime
    database: Literal["sqlite", "postgresql"]
    revision: str
    engine: str
    engine_version: str
    secrets_provider: str
    backend_url: str | None
    sealing_key: str
    audit_head: AuditHead | None
    needs: tuple[str, ...]
    files: tuple[Member, ...]


def member(root: Path, name: str) -> Member:
    """Return the entry of a file below the folder."""
    file = root / name
    return Member(name=name, bytes=file.stat().st_size, sha256=sha256_of(file))


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def bound_to(members: Sequence[Member]) -> bytes:
    """Return what the wrapped keys are bound to: all other files, so that none can be exchanged."""
    lines = sorted(f"{m.name}:{m.sha256}" for m in members if m.name != KEYS)
    return hashlib.sha256("\n".join(lines).encode()).digest()
