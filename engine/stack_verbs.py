"""The verbs under ``pulumi stack``, with the answers that the Automation API reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.arguments import Arguments
from engine.backend import StackName
from engine.checkpoint import CheckpointEncoder, decode_export, export_deployment
from engine.configuration import decode_config
from engine.errors import EngineError, StackExistsError, StackNotFoundError
from engine.locks import is_locked, locked, remove_locks
from engine.project import remove_stack_settings
from engine.properties import masked, plain
from engine.serialization import dumps
from engine.session import Session
from engine.state import Snapshot
from engine.urn import parse_urn


def select(session: Session, arguments: Arguments) -> None:
    """``stack select``: the stack must exist."""
    stack = _named(session, arguments)
    if not session.backend.exists(stack):
        raise StackNotFoundError(stack.name)
    session.selected[stack.project] = stack.name


def init(session: Session, arguments: Arguments) -> None:
    """``stack init``: make an empty stack."""
    provider = arguments.value("secrets-provider")
    if provider not in ("", "default", "passphrase"):
        raise EngineError(
            f"the secrets provider '{provider.split('://')[0]}' is not known to the embedded "
            "engine, only 'passphrase'; use the official `pulumi` program for others"
        )
    stack = _named(session, arguments)
    if session.backend.exists(stack):
        raise StackExistsError(stack.full)
    secrets = session.backend_secrets()
    checkpoint = CheckpointEncoder(stack.full, secrets).encode(Snapshot())
    session.backend.create(stack, checkpoint)
    session.selected[stack.project] = stack.name
    session.say(f"Created stack '{stack.name}'")


def list_stacks(session: Session, arguments: Arguments) -> None:
    """``stack ls``: the stacks of the project, or all."""
    every = arguments.has("all") or session.project is None
    found = session.backend.stacks(None if every else session.project)
    rows = [row for stack in found if (row := _summary(session, stack)) is not None]
    if arguments.has("json"):
        session.say(json.dumps(rows, indent=2))
        return
    for row in rows:
        session.say(f"{row['name']}{'*' if row['current'] else ''}")


def _summary(session: Session, stack: StackName) -> dict[str, Any] | None:
    """Describe a stack; None for one that went away since it was listed."""
    backend = session.backend
    path = backend.checkpoint_path(stack)
    try:
        changed, content = datetime.fromtimestamp(path.stat().st_mtime, UTC), backend.read(stack)
    except (FileNotFoundError, StackNotFoundError):
        return None
    row = {
        "name": stack.name if stack.project == session.project else stack.full,
        "current": session.selected.get(stack.project) == stack.name,
        "lastUpdate": _milliseconds(changed),
        "updateInProgress": is_locked(backend.lock_directory(stack)),
    }
    count = _resource_count(content)
    return row if count is None else {**row, "resourceCount": count}


def _resource_count(checkpoint: bytes) -> int | None:
    """None where the checkpoint is broken: the other stacks are listed all the same."""
    try:
        latest = json.loads(checkpoint)["checkpoint"]["latest"] or {}
        return len(latest.get("resources") or ())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def remove(session: Session, arguments: Arguments) -> None:
    """``stack rm``: take an empty stack away, or any with ``--force``."""
    stack = _named(session, arguments)
    recorded = session.load(stack)
    if recorded.snapshot.resources and not arguments.has("force"):
        raise EngineError(
            f"'{stack.name}' still has resources; removal rejected. Possible actions:\n"
            "- Run `destroy` first, so that they are deleted\n"
            "- Remove the stack with --force, and forget them"
        )
    with locked(session.backend.lock_directory(stack)):
        session.backend.remove(stack)
    if not arguments.has("preserve-config"):
        remove_stack_settings(session.directory, stack.name)
    session.selected.pop(stack.project, None)
    session.say(f"Stack '{stack.name}' has been removed!")


def output(session: Session, arguments: Arguments) -> None:
    """``stack output``: what the program exported; secrets only with ``--show-secrets``."""
    stack = session.stack_name(arguments.value("stack"))
    shown = plain if arguments.has("show-secrets") else masked
    outputs: dict[str, Any] = shown(session.load(stack).snapshot.root_outputs())
    if not arguments.words:
        session.say(dumps(outputs) if arguments.has("json") else _table(outputs))
        return
    name = arguments.words[0]
    if name not in outputs:
        raise EngineError(f"current stack does not have output property '{name}'")
    value = outputs[name]
    as_text = isinstance(value, str) and not arguments.has("json")
    session.say(value if as_text else dumps(value))


def _table(outputs: dict[str, Any]) -> str:
    return "\n".join(f"{key}\t{value}" for key, value in sorted(outputs.items()))


def history(session: Session, arguments: Arguments) -> None:
    """``stack history``: past updates, newest first."""
    stack = session.stack_name(arguments.value("stack"))
    if not session.backend.exists(stack):
        raise StackNotFoundError(stack.name)
    updates = session.backend.history(
        stack,
        page_size=arguments.number("page-size", 0),
        page=arguments.number("page", 1),
    )
    show_secrets = arguments.has("show-secrets")
    rows = [_history_row(session, stack, update, show_secrets) for update in updates]
    if arguments.has("json"):
        session.say(dumps(rows))
        return
    for row in rows:
        session.say(f"{row['startTime']} {row['kind']} {row['result']} {row['message']}".rstrip())


def _history_row(
    session: Session, stack: StackName, update: dict[str, Any], show_secrets: bool
) -> dict[str, Any]:
    return {
        "version": update.get("version", 0),
        "kind": update["kind"],
        "startTime": _time(update["startTime"]),
        "message": update["message"],
        "environment": update["environment"] or {},
        "config": _history_config(session, stack, update.get("config") or {}, show_secrets),
        "result": update["result"],
        "endTime": _time(update["endTime"]),
        "resourceChanges": update.get("resourceChanges") or {},
    }


def _history_config(
    session: Session, stack: StackName, config: dict[str, Any], show_secrets: bool
) -> dict[str, Any]:
    entries = decode_config(config, None)
    if show_secrets and any(entry.secret for entry in entries.values()):
        secrets = session.settings_secrets(session.settings(stack))
        entries = decode_config(config, secrets.decrypt)
    return {
        key: {"secret": True}
        if entry.secret and not show_secrets
        else {"value": entry.value, "secret": entry.secret}
        for key, entry in entries.items()
    }


def export(session: Session, arguments: Arguments) -> None:
    """``stack export``: the whole recorded state."""
    stack = session.stack_name(arguments.value("stack"))
    recorded = session.load(stack)
    document = export_deployment(
        recorded.snapshot, recorded.secrets, show_secrets=arguments.has("show-secrets")
    )
    text = json.dumps(document, indent=4)
    file = arguments.value("file")
    if file:
        Path(session.directory, file).write_text(f"{text}\n", encoding="utf-8")
    else:
        session.say(text)


def import_state(session: Session, arguments: Arguments) -> None:
    """``stack import``: replace the recorded state; pending operations are dropped."""
    stack = session.stack_name(arguments.value("stack"))
    file = arguments.value("file")
    if not file:
        raise EngineError("`pulumi stack import` needs --file")
    path = Path(session.directory, file)
    with locked(session.backend.lock_directory(stack)):
        present = session.load(stack)
        imported = decode_export(path.read_bytes(), str(path), session.open_secrets).snapshot
        if not arguments.has("force"):
            _require_own(imported, stack)
        session.backend.keep_last_good(stack)
        snapshot = Snapshot(imported.resources, (), "", imported.metadata)
        encoder = CheckpointEncoder(stack.full, present.secrets)
        session.backend.write(stack, encoder.encode(snapshot))
    for operation in imported.pending_operations:
        session.complain(
            f"warning: removing pending operation '{operation.type}' on "
            f"'{operation.resource.urn}' from snapshot"
        )
    session.say("Import complete.")


def _require_own(snapshot: Snapshot, stack: StackName) -> None:
    for state in snapshot.resources:
        parts = parse_urn(state.urn)
        if (parts.stack, parts.project) != (stack.name, stack.project):
            raise EngineError(
                f"resource '{state.urn}' belongs to another stack than '{stack.name}'; pass "
                "--force to import it all the same"
            )


def cancel(session: Session, arguments: Arguments) -> None:
    """``cancel``: take the locks of a stack away, whoever holds them."""
    stack = _named(session, arguments)
    if not session.backend.exists(stack):
        raise StackNotFoundError(stack.name)
    for owner in remove_locks(session.backend.lock_directory(stack)):
        session.say(f"removed the lock {owner}")
    session.say(f"The currently running update for '{stack.name}' has been canceled!")


def _named(session: Session, arguments: Arguments) -> StackName:
    named = arguments.value("stack") or (arguments.words[0] if arguments.words else "")
    return session.stack_name(named)


def _time(seconds: int) -> str:
    return _milliseconds(datetime.fromtimestamp(seconds, UTC))


def _milliseconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
