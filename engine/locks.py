"""One update a stack: locks as files beside the state, as the official program keeps them.

Source: github.com/pulumi/pulumi, pkg/backend/diy/lock.go. A lock whose process is dead is taken
over; one whose owner lives, or cannot be judged because it is on another machine, never is.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.errors import StackLockedError
from engine.files import make_directory

_OWNER = re.compile(
    r"^\s*(?P<path>\S+): created by (?P<user>.*)@(?P<host>[^@]+) "
    r"\(pid (?P<pid>\d+)\) at (?P<since>\S+)$",
    re.MULTILINE,
)
"""How a refusal tells whose lock a stack has (pkg/backend/diy/lock.go), on every backend."""

_held: set[Path] = set()
_held_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who wrote a lock file; ``since`` is RFC 3339. An unreadable lock has no known owner."""

    path: Path
    username: str = "unknown"
    hostname: str = "unknown"
    pid: int = 0
    since: str = ""

    def __str__(self) -> str:
        return (
            f"{self.path}: created by {self.username}@{self.hostname} "
            f"(pid {self.pid}) at {self.since}"
        )

    def is_dead(self) -> bool:
        """Whether the owner certainly no longer runs."""
        if self.hostname != socket.gethostname() or not self.pid:
            return False
        if self.pid == os.getpid():
            with _held_lock:
                return self.path not in _held
        started = _process_start(self.pid)
        return started is None or (self._time() is not None and started > (self._time() or 0) + 1)

    def _time(self) -> float | None:
        try:
            return datetime.fromisoformat(self.since).timestamp()
        except ValueError:
            return None


@contextmanager
def locked(directory: Path) -> Iterator[list[LockOwner]]:
    """Hold the lock of a stack; yields the owners of stale locks that were taken over.

    ``directory`` is the folder of the stack's locks. Raises StackLockedError.
    """
    path = directory / f"{uuid.uuid4()}.json"
    with _held_lock:
        _held.add(path)
    try:
        stale = _owners(directory, path)
        _refuse_living(stale)
        _write_lock(path)
        # Two that started together see each other's file now, and both give way.
        stale = _owners(directory, path)
        _refuse_living(stale)
        for owner in stale:
            owner.path.unlink(missing_ok=True)
        yield stale
    finally:
        path.unlink(missing_ok=True)
        with _held_lock:
            _held.discard(path)


def remove_locks(directory: Path) -> list[LockOwner]:
    """Take all locks of a stack away, whoever holds them; returns their owners."""
    owners = _owners(directory, None)
    for owner in owners:
        owner.path.unlink(missing_ok=True)
    return owners


def is_locked(directory: Path) -> bool:
    """Whether an update works on the stack now."""
    return any(not owner.is_dead() for owner in _owners(directory, None))


def refuse_living(directory: Path) -> None:
    """Raise StackLockedError when a living update holds the stack of these locks."""
    _refuse_living(_owners(directory, None))


def owners_in(text: str) -> list[LockOwner]:
    """Return the owners of locks whom a refusal names; both engines write it alike."""
    return [
        LockOwner(Path(it["path"]), it["user"], it["host"], int(it["pid"]), it["since"])
        for it in _OWNER.finditer(text)
    ]


def _refuse_living(owners: list[LockOwner]) -> None:
    living = [owner for owner in owners if not owner.is_dead()]
    if living:
        lines = "".join(f"\n  {owner}" for owner in living)
        raise StackLockedError(
            f"the stack is currently locked by {len(living)} lock(s). Either wait for the other "
            f"process(es) to end or delete the lock file with `pulumi cancel`.{lines}"
        )


def _write_lock(path: Path) -> None:
    content = {
        "pid": os.getpid(),
        "username": _username(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    make_directory(path.parent)
    # Whole or not at all, even for a process that is killed here: a lock half written counts as one
    # of the living for ever, and a temporary file would be a lock to the official program. So it is
    # written without a name first, where the system can do that.
    text = json.dumps(content).encode()
    if not _written_unnamed(path, text):
        with path.open("xb", buffering=0) as file:
            file.write(text)


def _written_unnamed(path: Path, text: bytes) -> bool:
    """Write a file that no folder lists, then give it its name; False where that can't be done.

    Linux: open(2), O_TMPFILE.
    """
    try:
        unnamed = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):
        return False
    try:
        os.write(unnamed, text)
        # Naming a folder, needless for an absolute path, is what makes Python follow the link.
        os.link(f"/proc/self/fd/{unnamed}", path, src_dir_fd=unnamed)
    except FileNotFoundError:
        return False
    finally:
        os.close(unnamed)
    return True


def _username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _owners(directory: Path, own: Path | None) -> list[LockOwner]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []
    found = (_read_owner(path) for path in paths if path != own)
    return [owner for owner in found if owner is not None]


def _read_owner(path: Path) -> LockOwner | None:
    try:
        content = json.loads(path.read_bytes())
        return LockOwner(
            path,
            str(content["username"]),
            str(content["hostname"]),
            int(content["pid"]),
            str(content["timestamp"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return LockOwner(path)


def _process_start(pid: int) -> float | None:
    """When a process of this machine began (seconds since 1970), None when there is none.

    A process that cannot be looked into counts as having begun at 0: it may be the owner.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime ")
        )
    except (OSError, StopIteration):
        return 0.0
    if fields[0] == "Z":
        return None
    return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
