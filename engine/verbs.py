"""The verbs of the ``pulumi`` program that the embedded engine knows, and the flags of each.

What is not listed is refused by name: the engine stays small on purpose.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine import config_verbs, stack_verbs
from engine.arguments import Arguments, parse
from engine.checkpoint import PROGRAM_VERSION
from engine.errors import UnsupportedError
from engine.options import Kind, UpdateOptions
from engine.session import Session


@dataclass(frozen=True, slots=True)
class _Verb:
    """A verb: what answers it, and the flags that it takes."""

    run: Callable[[Session, Arguments], None]
    switches: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset({"stack"})


def _verb(
    run: Callable[[Session, Arguments], None], switches: str = "", values: str = "stack"
) -> _Verb:
    return _Verb(run, frozenset(switches.split()), frozenset(values.split()))


def _version(session: Session, arguments: Arguments) -> None:  # noqa: ARG001
    session.say(PROGRAM_VERSION)


def _whoami(session: Session, arguments: Arguments) -> None:
    user = getpass.getuser()
    answer = {"user": user, "url": session.backend.url}
    session.say(json.dumps(answer) if arguments.has("json") else user)


def _list_plugins(session: Session, arguments: Arguments) -> None:
    """Providers are part of the engine: no plugin is installed."""
    if arguments.has("json"):
        session.say("[]")


_VERBS: dict[tuple[str, ...], _Verb] = {
    ("version",): _verb(_version),
    ("whoami",): _verb(_whoami, "json"),
    ("plugin", "ls"): _verb(_list_plugins, "json"),
    ("cancel",): _verb(stack_verbs.cancel),
    ("stack", "select"): _verb(stack_verbs.select),
    ("stack", "init"): _verb(stack_verbs.init, "no-select", "stack secrets-provider"),
    ("stack", "ls"): _verb(stack_verbs.list_stacks, "json all"),
    ("stack", "rm"): _verb(stack_verbs.remove, "force preserve-config"),
    ("stack", "output"): _verb(stack_verbs.output, "json show-secrets"),
    ("stack", "history"): _verb(stack_verbs.history, "json show-secrets", "stack page-size page"),
    ("stack", "export"): _verb(stack_verbs.export, "show-secrets", "stack file"),
    ("stack", "import"): _verb(stack_verbs.import_state, "force", "stack file"),
    ("config", "get"): _verb(config_verbs.get, "json path"),
    ("config", "set"): _verb(config_verbs.set_one, "path secret plaintext"),
    ("config", "set-all"): _verb(config_verbs.set_all, "path", "stack plaintext secret json"),
    ("config", "rm"): _verb(config_verbs.remove, "path"),
    ("config", "rm-all"): _verb(config_verbs.remove, "path"),
    ("config",): _verb(config_verbs.show_all, "json show-secrets"),
}

_UPDATE_SWITCHES = {
    "diff",
    "debug",
    "expect-no-changes",
    "refresh",
    "suppress-outputs",
    "suppress-progress",
    "preview-only",
    "clear-pending-creates",
    "exclude-protected",
}
_UPDATE_VALUES = {"stack", "parallel", "message", "client", "exec-kind", "event-log", "run-program"}
_UPDATE_ONLY_FOR = {"clear-pending-creates": "refresh", "exclude-protected": "destroy"}
UPDATES: Mapping[str, Kind] = {
    "up": Kind.UPDATE,
    "update": Kind.UPDATE,
    "preview": Kind.UPDATE,
    "refresh": Kind.REFRESH,
    "destroy": Kind.DESTROY,
}


def answer_verb(session: Session, words: Sequence[str]) -> None:
    """Answer a verb that is no update. Raises UnsupportedError for one not listed, EngineError."""
    for length in (2, 1):
        verb = _VERBS.get(tuple(words[:length]))
        if verb is not None and len(words) >= length:
            name, rest = " ".join(words[:length]), words[length:]
            verb.run(session, parse(name, rest, switches=verb.switches, values=verb.values))
            return
    raise UnsupportedError(f"`pulumi {' '.join(words[:2])}`")


def update_arguments(verb: str, args: Sequence[str]) -> Arguments:
    """Take the flags of an update apart. Raises UnsupportedError for one not listed."""
    switches = {flag for flag in _UPDATE_SWITCHES if _UPDATE_ONLY_FOR.get(flag, verb) == verb}
    arguments = parse(verb, args, switches=switches, values=_UPDATE_VALUES)
    if UPDATES[verb] is Kind.UPDATE and arguments.value("run-program", "true") != "true":
        raise UnsupportedError(f"`pulumi {verb} --run-program=false`")
    return arguments


def update_options(verb: str, arguments: Arguments) -> UpdateOptions:
    """What the flags of an update say. Raises EngineError."""
    default = UpdateOptions()
    return UpdateOptions(
        dry_run=verb == "preview" or arguments.has("preview-only"),
        parallel=max(1, min(arguments.number("parallel", default.parallel), default.parallel)),
        message=arguments.value("message"),
        expect_no_changes=arguments.has("expect-no-changes"),
        refresh=arguments.has("refresh"),
        exclude_protected=arguments.has("exclude-protected"),
        clear_pending_creates=arguments.has("clear-pending-creates"),
        run_program=arguments.value("run-program") == "true",
        suppress_outputs=arguments.has("suppress-outputs"),
        debug=arguments.has("debug"),
        client=arguments.value("client"),
        event_log=arguments.value("event-log"),
        exec_kind=arguments.value("exec-kind"),
    )
