"""The embedded engine as a ``PulumiCommand``: the Automation API's verbs, answered in process.

Everything is taken from the environment that a call passes, over that of the process: the backend
(PULUMI_BACKEND_URL, ``file://`` only), the passphrase (PULUMI_CONFIG_PASSPHRASE or _FILE), and what
the provider reads. Nothing in the process's own environment is changed, so that many stacks can be
worked on at once from many threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pulumi._version
from pulumi.automation import CommandResult, PulumiCommand, PulumiFn
from pulumi.automation._server import LanguageServer
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from engine.aws import aws_provider
from engine.backend import ORGANIZATION
from engine.deployment import RunContext
from engine.errors import EngineError
from engine.lines import Lines, guarded
from engine.monitor import EngineService, Monitor
from engine.provider import ProviderFactory
from engine.reporting import Sink
from engine.session import Session
from engine.stopping import ShouldStop
from engine.update import RunProgram, Update
from engine.verbs import UPDATES, answer_verb, update_arguments, update_options

OnOutput = Callable[[str], Any]
_FAILED = 255


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
        should_stop: ShouldStop | None = None,
    ) -> None:
        """``program`` is what ``up`` and ``preview`` run, in this process and without gRPC; leave
        the workspace's own program out then, and the Automation API starts no server either.
        Without it, the program is asked for at the address that the Automation API passes.

        ``on_event`` gets each engine event as a dict (the JSON shape of Pulumi's events), in
        order, before the act that follows it; it costs less than the Automation API's own.

        ``should_stop`` is asked before each resource of an update; once it says True, what runs is
        finished and recorded, and the update ends with an error that begins with ``STOPPED``.
        """
        # PulumiCommand's own __init__ runs the official program to ask its version.
        self.command = "pulumi"
        self.version = pulumi._version.version
        self._program = program
        self._provider = provider
        self._on_event = None if on_event is None else guarded(on_event)
        self._should_stop = should_stop
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
        said, complained = Lines(on_output), Lines(on_error)
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
        if words and words[0] in UPDATES:
            self._update(session, words[0], words[1:])
        else:
            answer_verb(session, words)

    def _update(self, session: Session, verb: str, args: list[str]) -> None:
        arguments = update_arguments(verb, args)
        Update(
            session,
            session.stack_name(arguments.value("stack")),
            UPDATES[verb],
            update_options(verb, arguments),
            self._provider,
            self._run_in_process(),
            self._on_event,
            self._should_stop,
        ).run()

    def _run_in_process(self) -> RunProgram | None:
        program = self._program
        if program is None:
            return None

        def run(context: RunContext, monitor: Monitor, engine: EngineService) -> str:
            return _run_program(program, context, monitor, engine)

        return run


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
