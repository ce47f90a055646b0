"""Stack configuration: keys, values, secrets and paths, as ``pulumi config`` treats them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from engine.errors import EngineError
from engine.properties import MASK, path_keys

_SECURE = "secure"

Transform = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One configuration value in the form that programs get: text, JSON for objects."""

    value: str
    secret: bool
    is_object: bool = False


def full_key(key: str, project: str) -> str:
    """``<namespace>:<name>``; a key without a namespace is the project's. Raises EngineError."""
    parts = key.split(":")
    if parts[1:2] == ["config"] and len(parts) == 3:
        parts = [parts[0], parts[2]]
    if len(parts) > 2 or not all(parts):
        raise EngineError(f"invalid configuration key {key!r}: use <namespace>:<name> or <name>")
    return key if len(parts) == 2 else f"{project}:{key}"


def decode_config(config: dict[str, Any], decrypt: Transform | None) -> dict[str, ConfigEntry]:
    """Read a stack's configuration; ``decrypt`` None leaves secrets masked."""
    return {key: decode_entry(value, decrypt) for key, value in config.items()}


def decode_entry(value: Any, decrypt: Transform | None) -> ConfigEntry:
    """Read one value of a settings file."""
    secret = _holds_secret(value)
    if secret and decrypt is None:
        return ConfigEntry(MASK, secret=True)
    opened = _opened(value, decrypt)
    if isinstance(opened, dict | list):
        return ConfigEntry(json.dumps(opened, separators=(",", ":")), secret, is_object=True)
    return ConfigEntry(_text(opened), secret)


def set_value(
    config: dict[str, Any], key: str, value: str, *, encrypt: Transform | None, path: bool
) -> None:
    """Set a value, encrypted when ``encrypt`` is given. ``path`` reads the key's name as a path."""
    stored: Any = value if encrypt is None else {_SECURE: encrypt(value)}
    if not path:
        config[key] = stored
        return
    top, keys = _split_path(key)
    if not keys:
        config[top] = stored
        return
    holder = config.setdefault(top, [] if isinstance(keys[0], int) else {})
    for here, following in pairwise(keys):
        holder = _step(holder, here, [] if isinstance(following, int) else {}, key)
    _store(holder, keys[-1], stored if encrypt else _typed(value), key)


def get_value(config: dict[str, Any], key: str, *, path: bool) -> Any:
    """Find a value as the file holds it. Raises KeyError."""
    if not path:
        return config[key]
    top, keys = _split_path(key)
    value = config[top]
    for here in keys:
        try:
            value = value[here]
        except (IndexError, TypeError) as error:
            raise KeyError(key) from error
    return value


def remove_value(config: dict[str, Any], key: str, *, path: bool) -> None:
    """Take a value away; one that is not there is no error."""
    top, keys = _split_path(key) if path else (key, [])
    if not keys:
        config.pop(top, None)
        return
    try:
        holder = config[top]
        for here in keys[:-1]:
            holder = holder[here]
        del holder[keys[-1]]
    except (KeyError, IndexError, TypeError):
        return


def _split_path(key: str) -> tuple[str, list[str | int]]:
    namespace, _, name = key.partition(":")
    keys = path_keys(name)
    if not keys or not isinstance(keys[0], str):
        raise EngineError(f"invalid configuration path {key!r}")
    return f"{namespace}:{keys[0]}", keys[1:]


def _step(holder: Any, here: str | int, empty: Any, key: str) -> Any:
    if isinstance(here, str) and isinstance(holder, dict):
        return holder.setdefault(here, empty)
    if isinstance(here, int) and isinstance(holder, list) and here <= len(holder):
        if here == len(holder):
            holder.append(empty)
        return holder[here]
    raise EngineError(f"the configuration path {key!r} does not fit what is there")


def _store(holder: Any, here: Any, value: Any, key: str) -> None:
    is_item = isinstance(here, int) and isinstance(holder, list)
    if is_item and here == len(holder):
        holder.append(value)
    elif (is_item and here < len(holder)) or (isinstance(here, str) and isinstance(holder, dict)):
        holder[here] = value
    else:
        raise EngineError(f"the configuration path {key!r} does not fit what is there")


def _typed(value: str) -> Any:
    """Inside objects, booleans and whole numbers keep their type."""
    if value in ("true", "false"):
        return value == "true"
    is_number = value.isascii() and value.isdigit() and (value == "0" or value[0] != "0")
    return int(value) if is_number else value


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == {_SECURE} or any(_holds_secret(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_secret(item) for item in value)
    return False


def _opened(value: Any, decrypt: Transform | None) -> Any:
    if isinstance(value, dict):
        if set(value) == {_SECURE} and decrypt is not None:
            return decrypt(str(value[_SECURE]))
        return {key: _opened(item, decrypt) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item, decrypt) for item in value]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
