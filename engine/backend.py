"""The file backend: where a stack's checkpoint, history and backups lie.

The layout is that of the official program's project-scoped file backend
(github.com/pulumi/pulumi, pkg/backend/diy), so that either program can work on the same folder::

    .pulumi/meta.yaml
    .pulumi/stacks/<project>/<stack>.json[.bak]
    .pulumi/history/<project>/<stack>/<stack>-<nanoseconds>.{history,checkpoint}.json
    .pulumi/backups/<project>/<stack>/<stack>.<nanoseconds>.json
    .pulumi/locks/organization/<project>/<stack>/<uuid>.json
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from engine.errors import (
    OFFICIAL,
    CheckpointError,
    EngineError,
    StackExistsError,
    StackNotFoundError,
)
from engine.files import link_or_copy, write_atomically

ORGANIZATION = "organization"
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}")
_LAYOUT_VERSION = 1
_KEPT_BACKUPS = 10
_KEPT_HISTORY = 100
_KEPT_HISTORY_CHECKPOINTS = 10


class StackName(NamedTuple):
    """A stack's project and its name within the project."""

    project: str
    name: str

    @property
    def full(self) -> str:
        """The name as checkpoints hold it."""
        return f"{ORGANIZATION}/{self.project}/{self.name}"


def parse_stack_name(text: str, project: str | None) -> StackName:
    """Read ``stack``, ``organization/stack`` or ``organization/project/stack``.

    ``project`` is that of the working directory, if it has one. Raises EngineError.
    """
    parts = text.split("/")
    if len(parts) > 1 and parts[0] != ORGANIZATION:
        raise EngineError(f"organization name must be '{ORGANIZATION}', not '{parts[0]}'")
    if len(parts) > 3:
        raise EngineError(f"'{text}' is not a stack name")
    own_project = parts[1] if len(parts) == 3 else project
    if own_project is None:
        raise EngineError(
            "no Pulumi.yaml project file found; run this in a folder with a Pulumi project, or "
            f"pass the full stack name ({ORGANIZATION}/project/stack)"
        )
    for kind, name in (("project", own_project), ("stack", parts[-1])):
        if not _NAME.fullmatch(name):
            raise EngineError(
                f"a {kind} name may only contain alphanumeric, hyphens, underscores, or periods, "
                f"100 at most: {name!r}"
            )
    return StackName(own_project, parts[-1])


@dataclass(frozen=True)
class FileBackend:
    """State below one folder. ``root`` is that folder, which holds ``.pulumi``."""

    root: Path

    @property
    def url(self) -> str:
        """The backend as ``pulumi whoami`` names it."""
        return f"file://{self.root}"

    @property
    def directory(self) -> Path:
        """The folder that holds everything of Pulumi."""
        return self.root / ".pulumi"

    def checkpoint_path(self, stack: StackName) -> Path:
        """The file that holds a stack's state."""
        return self.directory / "stacks" / stack.project / f"{stack.name}.json"

    def history_directory(self, stack: StackName) -> Path:
        """The folder of a stack's past updates."""
        return self.directory / "history" / stack.project / stack.name

    def backup_directory(self, stack: StackName) -> Path:
        """The folder of a stack's past checkpoints."""
        return self.directory / "backups" / stack.project / stack.name

    def lock_directory(self, stack: StackName) -> Path:
        """The folder of a stack's locks."""
        return self.directory / "locks" / ORGANIZATION / stack.project / stack.name

    def prepare(self) -> None:
        """Make the backend's folder and its layout mark; refuse the old layout."""
        meta = self.directory / "meta.yaml"
        if meta.exists():
            if not re.search(rf"^version:\s*{_LAYOUT_VERSION}\s*$", meta.read_text(), re.MULTILINE):
                raise EngineError(
                    f"{meta} names a layout that this engine does not know; {OFFICIAL}"
                )
            return
        stacks = self.directory / "stacks"
        if stacks.is_dir() and any(entry.is_file() for entry in stacks.iterdir()):
            raise EngineError(
                f"{stacks} has the layout without projects; run `pulumi state upgrade` with the "
                "official program first"
            )
        write_atomically(meta, f"version: {_LAYOUT_VERSION}\n".encode(), durable=True)

    def exists(self, stack: StackName) -> bool:
        """Whether the stack is there. Raises EngineError for a compressed checkpoint."""
        path = self.checkpoint_path(stack)
        if path.exists():
            return True
        for compression in (".gz", ".zst"):
            if Path(f"{path}{compression}").exists():
                raise EngineError(f"{path}{compression} is compressed; {OFFICIAL}")
        return False

    def read(self, stack: StackName) -> bytes:
        """The checkpoint file. Raises StackNotFoundError."""
        try:
            return self.checkpoint_path(stack).read_bytes()
        except FileNotFoundError:
            self.exists(stack)
            raise StackNotFoundError(stack.name) from None

    def create(self, stack: StackName, checkpoint: bytes) -> None:
        """Write a new stack's first checkpoint. Raises StackExistsError."""
        self.prepare()
        if self.exists(stack):
            raise StackExistsError(stack.full)
        write_atomically(self.checkpoint_path(stack), checkpoint, durable=True)

    def write(self, stack: StackName, checkpoint: bytes) -> None:
        """Replace a stack's checkpoint durably; the caller holds the stack's lock."""
        write_atomically(self.checkpoint_path(stack), checkpoint, durable=True, exclusive=True)

    def keep_last_good(self, stack: StackName) -> None:
        """Keep the checkpoint as it is before an update, as ``<stack>.json.bak``."""
        path = self.checkpoint_path(stack)
        link_or_copy(path, Path(f"{path}.bak"))

    def last_good(self, stack: StackName) -> Path | None:
        """The newest backup of a stack's checkpoint."""
        backups = _by_age(self.backup_directory(stack), ".json")
        if backups:
            return backups[-1]
        before = Path(f"{self.checkpoint_path(stack)}.bak")
        return before if before.exists() else None

    def stacks(self, project: str | None = None) -> Iterator[StackName]:
        """All stacks, or those of one project, in order of name."""
        for path in sorted((self.directory / "stacks").glob(f"{project or '*'}/*.json")):
            name = path.name.removesuffix(".json")
            if _NAME.fullmatch(name):
                yield StackName(path.parent.name, name)

    def remove(self, stack: StackName) -> None:
        """Take a stack away; like the official program, keep its last state as ``.bak``."""
        path = self.checkpoint_path(stack)
        path.replace(f"{path}.bak")
        history = self.history_directory(stack)
        if history.is_dir():
            for entry in history.iterdir():
                entry.unlink(missing_ok=True)
            history.rmdir()

    def add_history(self, stack: StackName, update: dict[str, Any]) -> None:
        """Record a finished update, with a copy of the checkpoint that it left."""
        directory, now = self.history_directory(stack), time.time_ns()
        prefix = f"{stack.name}-{now}"
        record = json.dumps(update, separators=(",", ":"), ensure_ascii=False).encode()
        write_atomically(directory / f"{prefix}.history.json", record, durable=False)
        checkpoint = self.checkpoint_path(stack)
        link_or_copy(checkpoint, directory / f"{prefix}.checkpoint.json")
        link_or_copy(checkpoint, self.backup_directory(stack) / f"{stack.name}.{now}.json")
        _keep_newest(directory, ".history.json", _KEPT_HISTORY)
        _keep_newest(directory, ".checkpoint.json", _KEPT_HISTORY_CHECKPOINTS)
        _keep_newest(self.backup_directory(stack), ".json", _KEPT_BACKUPS)

    def history(self, stack: StackName, *, page_size: int, page: int) -> list[dict[str, Any]]:
        """Past updates, newest first; ``page_size`` 0 means all, pages count from 1."""
        records = _by_age(self.history_directory(stack), ".history.json")[::-1]
        if page_size > 0:
            start = (max(page, 1) - 1) * page_size
            records = records[start : start + page_size]
        return [_read_record(path) for path in records]


def open_backend(url: str) -> FileBackend:
    """The backend of a ``file:///absolute/folder`` URL. Raises EngineError for any other."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or not path.is_absolute():
        named = f"'{url.split('?')[0]}'" if url else "no backend (PULUMI_BACKEND_URL is empty)"
        raise EngineError(
            "the embedded engine keeps state in a folder of this machine (file:///absolute/path): "
            "its locks and its writes that a crash can't tear are those of a file system. It was "
            f"given {named}; use the official `pulumi` program for other backends"
        )
    return FileBackend(path)


def _by_age(directory: Path, suffix: str) -> list[Path]:
    """Files of a folder, oldest first: their names end in a time of equal length."""
    try:
        return sorted(path for path in directory.iterdir() if path.name.endswith(suffix))
    except FileNotFoundError:
        return []


def _keep_newest(directory: Path, suffix: str, count: int) -> None:
    for path in _by_age(directory, suffix)[:-count]:
        path.unlink(missing_ok=True)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"the history file {path} is corrupt: {error}") from error
    return record
