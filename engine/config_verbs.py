"""The verbs under ``pulumi config``, with the answers that the Automation API reads."""

from __future__ import annotations

import json
from typing import Any

from engine.arguments import Arguments
from engine.backend import StackName
from engine.configuration import (
    ConfigEntry,
    Transform,
    decode_config,
    decode_entry,
    full_key,
    get_value,
    remove_value,
    set_value,
)
from engine.errors import EngineError, StackNotFoundError, UnsupportedError
from engine.project import StackSettings
from engine.serialization import dumps
from engine.session import Session


def show_all(session: Session, arguments: Arguments) -> None:
    """``config``: every key; secrets only with ``--show-secrets``."""
    if arguments.words:
        raise UnsupportedError(f"`pulumi config {arguments.words[0]}`")
    stack, settings = _open(session, arguments)
    if arguments.has("show-secrets"):
        entries = session.config(stack)
    else:
        entries = decode_config(settings.config, None)
    show_secrets = arguments.has("show-secrets")
    if arguments.has("json"):
        session.say(dumps({key: _shown(entry, show_secrets) for key, entry in entries.items()}))
        return
    for key, entry in sorted(entries.items()):
        session.say(f"{key}\t{entry.value}")


def _shown(entry: ConfigEntry, show_secrets: bool) -> dict[str, Any]:
    if entry.secret and not show_secrets:
        return {"secret": True}
    shown: dict[str, Any] = {"value": entry.value, "secret": entry.secret}
    if entry.is_object:
        shown["objectValue"] = json.loads(entry.value)
    return shown


def get(session: Session, arguments: Arguments) -> None:
    """``config get``: one value, decrypted."""
    stack, settings = _open(session, arguments)
    key = full_key(_word(arguments), stack.project)
    try:
        stored = get_value(settings.config, key, path=arguments.has("path"))
    except KeyError:
        raise EngineError(
            f"configuration key '{_word(arguments)}' not found for stack '{stack.name}'"
        ) from None
    entry = decode_entry(stored, None)
    if entry.secret:
        entry = decode_entry(stored, session.settings_secrets(settings).decrypt)
    if arguments.has("json"):
        session.say(dumps({"name": key, **_shown(entry, show_secrets=True)}))
    else:
        session.say(entry.value)


def set_one(session: Session, arguments: Arguments) -> None:
    """``config set``: set one value."""
    stack, settings = _open(session, arguments)
    if len(arguments.words) != 2:
        raise EngineError("`pulumi config set` needs a key and a value")
    key, value = arguments.words
    encrypt = _encrypt(session, settings) if arguments.has("secret") else None
    name = full_key(key, stack.project)
    set_value(settings.config, name, value, encrypt=encrypt, path=arguments.has("path"))
    settings.save()


def set_all(session: Session, arguments: Arguments) -> None:
    """``config set-all``: set several values at once."""
    stack, settings = _open(session, arguments)
    for flag, text in arguments.values:
        if flag == "json":
            _set_from_json(session, stack, settings, text)
        elif flag in ("plaintext", "secret"):
            key, equals, value = text.partition("=")
            if not equals:
                raise EngineError(f"`pulumi config set-all --{flag}` needs key=value")
            encrypt = _encrypt(session, settings) if flag == "secret" else None
            name = full_key(key, stack.project)
            set_value(settings.config, name, value, encrypt=encrypt, path=arguments.has("path"))
    settings.save()


def _set_from_json(session: Session, stack: StackName, settings: StackSettings, text: str) -> None:
    try:
        items = json.loads(text)
        for key, item in items.items():
            value = item["objectValue"] if "objectValue" in item else item["value"]
            encrypt = _encrypt(session, settings) if item.get("secret") else None
            stored = value if isinstance(value, str) else dumps(value)
            name = full_key(key, stack.project)
            if encrypt is None and not isinstance(value, str):
                settings.config[name] = value
            else:
                set_value(settings.config, name, stored, encrypt=encrypt, path=False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            "the configuration passed as JSON is not of the form that `pulumi config --json` prints"
        ) from error


def remove(session: Session, arguments: Arguments) -> None:
    """``config rm`` and ``config rm-all``: take values away."""
    stack, settings = _open(session, arguments)
    for word in arguments.words:
        key = full_key(word, stack.project)
        remove_value(settings.config, key, path=arguments.has("path"))
    settings.save()


def _open(session: Session, arguments: Arguments) -> tuple[StackName, StackSettings]:
    stack = session.stack_name(arguments.value("stack"))
    if not session.backend.exists(stack):
        raise StackNotFoundError(stack.name)
    return stack, session.settings(stack)


def _encrypt(session: Session, settings: StackSettings) -> Transform:
    return session.settings_secrets(settings).encrypt


def _word(arguments: Arguments) -> str:
    if not arguments.words:
        raise EngineError("`pulumi config` needs a key")
    return arguments.words[0]
