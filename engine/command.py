"""The embedded engine as a ``PulumiCommand``: the Automation API's verbs, answered in process.

Everything is taken from the environment that a call passes, over that of the process: the backend
(PULUMI_BACKEND_URL, ``file://`` only), the passphrase (PULUMI_CONFIG_PASSPHRASE or _FILE), and what
the provider reads. Nothing in the process's own environment is changed, so that many stacks can be
worked on at once from many threads.
"""

from __future__ import annotations

import getpass
import json
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pulumi._version
from pulumi.automation import CommandResult, PulumiCommand, PulumiFn
from pulumi.automation._server import LanguageServer
from pulumi.automation.errors import CommandError, create_command_error
from semver import VersionInfo

from engine import config_verbs, stack_verbs
from engine.arguments import Arguments, parse
from engine.aws import aws_provider
from engine.backend import ORGANIZATION
from engine.checkpoint import PROGRAM_VERSION
from engine.deployment import RunContext
from engine.errors import EngineError, UnsupportedError
from engine.monitor import EngineService, Monitor
from engine.provider import ProviderFactory
from engine.reporting import Sink
from engine.session import Session
from engine.update import Kind, RunProgram, Update, UpdateOptions

OnOutput = Callable[[str], Any]
_FAILED = 255


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
_UPDATES = {
    "up": Kind.UPDATE,
    "update": Kind.UPDATE,
    "preview": Kind.UPDATE,
    "refresh": Kind.REFRESH,
    "destroy": Kind.DESTROY,
}


class EmbeddedCommand(PulumiCommand):
    """Answers the Automation API's verbs without the ``pulumi`` program.

    Pass it as ``LocalWorkspaceOptions(pulumi_command=...)``. One object may serve many stacks and
    threads.
    """

    command: str
    version: VersionInfo | None

    def __init__(
        self,
        *,
        program: Callable[[], object] | None = None,
        provider: ProviderFactory = aws_provider,
        on_event: Sink | None = None,
    ) -> None:
        """``program`` is what ``up`` and ``preview`` run, in this process and without gRPC; leave
        the workspace's own program out then, and the Automation API starts no server either.
        Without it, the program is asked for at the address that the Automation API passes.

        ``on_event`` gets each engine event as a dict (the JSON shape of Pulumi's events), in
        order, before the act that follows it; it costs less than the Automation API's own.
        """
        # PulumiCommand's own __init__ runs the official program to ask its version.
        self.command = "pulumi"
        self.version = pulumi._version.version
        self._program = program
        self._provider = provider
        self._on_event = None if on_event is None else _guarded(on_event)
        self._selected: dict[str, str] = {}

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Answer one command line, as the official program would.

        Raises pulumi.automation.CommandError (or what is derived from it) when it fails.
        """
        result = self.answer(args, cwd, additional_env, on_output, on_error)
        if result.code:
            raise create_command_error(result)
        return result

    def answer(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Answer one command line; a failure is told by the code of the result, as by a program."""
        said, complained = _Lines(on_output), _Lines(on_error)
        session = Session(
            environment={**os.environ, **additional_env},
            directory=Path(cwd),
            say=said.add,
            complain=complained.add,
            selected=self._selected,
        )
        code = 0
        try:
            self._dispatch(session, args)
        except EngineError as error:
            complained.add(f"error: {error}")
            code = _FAILED
        except OSError as error:
            complained.add(
                f"error: the state could not be read or written: {error.strerror or error} "
                f"({error.filename or session.directory})"
            )
            code = _FAILED
        return CommandResult(said.text(), complained.text(), code)

    def _dispatch(self, session: Session, args: list[str]) -> None:
        words = list(args)
        while words and words[0] in ("--non-interactive", "--yes"):
            words.pop(0)
        if words and words[0] in _UPDATES:
            self._update(session, words[0], words[1:])
            return
        for length in (2, 1):
            verb = _VERBS.get(tuple(words[:length]))
            if verb is not None and len(words) >= length:
                name = " ".join(words[:length])
                rest = words[length:]
                verb.run(session, parse(name, rest, switches=verb.switches, values=verb.values))
                return
        raise UnsupportedError(f"`pulumi {' '.join(words[:2])}`")

    def _update(self, session: Session, verb: str, args: list[str]) -> None:
        switches = {flag for flag in _UPDATE_SWITCHES if _UPDATE_ONLY_FOR.get(flag, verb) == verb}
        arguments = parse(verb, args, switches=switches, values=_UPDATE_VALUES)
        kind = _UPDATES[verb]
        if kind is Kind.UPDATE and arguments.value("run-program", "true") != "true":
            raise UnsupportedError(f"`pulumi {verb} --run-program=false`")
        Update(
            session,
            session.stack_name(arguments.value("stack")),
            kind,
            _options(verb, arguments),
            self._provider,
            self._run_in_process(),
            self._on_event,
        ).run()

    def _run_in_process(self) -> RunProgram | None:
        program = self._program
        if program is None:
            return None

        def run(context: RunContext, monitor: Monitor, engine: EngineService) -> str:
            return _run_program(program, context, monitor, engine)

        return run


def _options(verb: str, arguments: Arguments) -> UpdateOptions:
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


def _run_program(
    program: Callable[[], object], context: RunContext, monitor: Monitor, engine: EngineService
) -> str:
    """Run a program as the Automation API's own language server does, against objects.

    It runs in a thread of its own: the caller's may already run an event loop.
    """
    request = SimpleNamespace(
        project=context.stack.project,
        stack=context.stack.name,
        organization=ORGANIZATION,
        monitor_address=monitor,
        args=[engine],
        config=dict(context.config),
        configSecretKeys=sorted(context.secret_keys),
        dryRun=context.dry_run,
        parallel=context.parallel,
    )
    answers: list[str] = []
    server: Any = LanguageServer(cast("PulumiFn", program))

    def run() -> None:
        try:
            answers.append(str(server.Run(request, None).error))
        except Exception as error:  # noqa: BLE001 - tasks that the program left may raise anything
            answers.append(f"the program ended with {type(error).__name__}: {error}")

    thread = threading.Thread(target=run, name=f"program-{context.stack.name}")
    thread.start()
    try:
        thread.join()
    except BaseException:
        # Interrupted: take no more registrations, and let what runs come to its end.
        monitor.stop()
        thread.join()
        raise
    return answers[0] if answers else "the program ended without an answer"


def _guarded(callback: Callable[[Any], object]) -> Callable[[Any], None]:
    """A caller's callback must not be able to break an update in the middle of an act."""

    def call(argument: Any) -> None:
        try:
            callback(argument)
        except Exception as error:  # noqa: BLE001 - whatever the caller's code raises
            warnings.warn(f"a callback of the caller failed: {error!r}", stacklevel=2)

    return call


class _Lines:
    """Collects the lines of one stream and passes each on as it comes."""

    def __init__(self, callback: OnOutput | None) -> None:
        self._callback = None if callback is None else _guarded(callback)
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Take a text of one or more lines."""
        with self._lock:
            for line in text.split("\n"):
                self._lines.append(line)
                if self._callback is not None:
                    self._callback(line)

    def text(self) -> str:
        """Everything, as one text."""
        return "\n".join(self._lines)


def install_official_command() -> tuple[str, Path]:
    """Download the official program of the SDK's version; its version and path.

    Raises OSError, RuntimeError, subprocess.CalledProcessError.
    """
    try:
        installed = PulumiCommand.install()
    except CommandError as error:
        raise RuntimeError("what was installed does not run") from error
    return str(installed.version), Path(installed.command)


_READING = (("stack", "select"), ("stack", "output"), ("stack", "history"))


class AssistedCommand(PulumiCommand):
    """The official program, its reading verbs answered from a file backend's own files.

    Around each ``up`` the Automation API asks four more questions, and each start of the program
    takes a good part of a second. On other backends, and whatever can't be answered here, the
    program itself is asked.
    """

    def __init__(self) -> None:
        """Find the official program on PATH; raises what `PulumiCommand` raises without one."""
        super().__init__()
        self._reader = EmbeddedCommand()

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Run one command line; raises what `PulumiCommand.run` raises."""
        backend = {**os.environ, **additional_env}.get("PULUMI_BACKEND_URL", "")
        if backend.startswith("file://") and tuple(args[:2]) in _READING:
            answer = self._reader.answer(list(args), cwd, additional_env)
            if answer.code == 0:
                if on_output is not None:
                    for line in answer.stdout.splitlines():
                        on_output(line)
                return answer
        return super().run(args, cwd, additional_env, on_output, on_error)
