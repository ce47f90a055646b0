"""Pulumi.yaml and Pulumi.<stack>.yaml of a working directory."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.errors import EngineError
from engine.files import write_atomically

_EXTENSIONS = (".yaml", ".yml", ".json")
# Two seconds: the writer may be kept waiting by a busy machine in the middle.
_READ_ATTEMPTS = 200
_READ_PAUSE_SECONDS = 0.01

_cache: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}


@dataclass(frozen=True, slots=True)
class Project:
    """Pulumi.yaml, as far as the engine looks at it."""

    name: str
    backend_url: str = ""
    main: str = ""
    runtime: str = ""


def load_project(directory: Path) -> Project | None:
    """The project in a folder, None when it holds none. Raises EngineError."""
    path = _find(directory, "Pulumi")
    if path is None:
        return None
    content = _load_settled(path)
    backend = content.get("backend")
    url = backend.get("url") if isinstance(backend, dict) else None
    runtime = content.get("runtime")
    name = runtime.get("name") if isinstance(runtime, dict) else runtime
    return Project(content["name"], url or "", str(content.get("main") or ""), str(name or ""))


def _load_settled(path: Path) -> dict[str, Any]:
    """Read a file that another thread may be writing: the Automation API rewrites Pulumi.yaml,
    not atomically, for every workspace that is given project settings."""
    for _ in range(_READ_ATTEMPTS):
        try:
            content = _load(path)
        except EngineError:
            content = {}
        if isinstance(content.get("name"), str) and content["name"]:
            return content
        time.sleep(_READ_PAUSE_SECONDS)
    _load(path)
    raise EngineError(f"{path} names no project")


@dataclass
class StackSettings:
    """Pulumi.<stack>.yaml: the configuration of a stack, as the file holds it.

    ``config`` maps ``<namespace>:<key>`` to a plain value or ``{"secure": ciphertext}``.
    """

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    encryption_salt: str = ""
    other: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file; an empty one is not made."""
        content = dict(self.other)
        if self.encryption_salt:
            content["encryptionsalt"] = self.encryption_salt
        if self.config:
            content["config"] = self.config
        if not content and not self.path.exists():
            return
        text = json.dumps(content) if self.path.suffix == ".json" else yaml.safe_dump(content)
        write_atomically(self.path, text.encode(), durable=True)
        _cache.pop(self.path, None)


def load_stack_settings(directory: Path, stack: str) -> StackSettings:
    """Read the settings of a stack; empty when there is no file. Raises EngineError."""
    path = _find(directory, f"Pulumi.{stack}")
    if path is None:
        return StackSettings(directory / f"Pulumi.{stack}.yaml")
    content = dict(_load(path))
    config = content.pop("config", None) or {}
    salt = content.pop("encryptionsalt", None) or ""
    provider = content.get("secretsprovider")
    if provider not in (None, "", "passphrase") or content.get("encryptedkey"):
        raise EngineError(
            f"{path} uses the secrets provider {provider!r}; the embedded engine knows only "
            "'passphrase'; use the official `pulumi` program for others"
        )
    if not isinstance(config, dict):
        raise EngineError(f"{path}: 'config' is not a mapping")
    return StackSettings(path, dict(config), str(salt), content)


def remove_stack_settings(directory: Path, stack: str) -> None:
    """Delete the settings of a stack, if there are any."""
    path = _find(directory, f"Pulumi.{stack}")
    if path is not None:
        path.unlink(missing_ok=True)


def _find(directory: Path, stem: str) -> Path | None:
    for extension in _EXTENSIONS:
        path = directory / f"{stem}{extension}"
        if path.exists():
            return path
    return None


def _load(path: Path) -> dict[str, Any]:
    status = path.stat()
    stamp = (status.st_mtime_ns, status.st_size)
    cached = _cache.get(path)
    if cached is not None and cached[0] == stamp:
        return cached[1]
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EngineError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise EngineError(f"{path} is not a mapping")
    _cache[path] = (stamp, content)
    return content
