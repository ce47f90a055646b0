"""The official ``pulumi`` program: getting it where it is missing, and running it.

It runs as a child of this process that is never left behind, see `engine.child`.
"""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation.errors import (
    CommandError,
    ConcurrentUpdateError,
    create_command_error,
)

from engine.child import run_child
from engine.command import EmbeddedCommand, OnOutput
from engine.errors import EngineError
from engine.locks import owners_in
from engine.stopping import ShouldStop
from engine.survivors import held

MANUAL = "https://www.pulumi.com/docs/install/ tells other ways; the embedded engine needs nothing"


@dataclass(frozen=True)
class Installed:
    """The official program as installed: its version, and the folder to put on PATH."""

    version: str
    folder: Path


def install() -> Installed:
    """Install the official program of the SDK's version, below ``~/.pulumi/versions``.

    Raises EngineError with what went wrong and what to do instead.
    """
    try:
        installed = PulumiCommand.install()
    except subprocess.CalledProcessError as error:
        said = (error.output or b"").decode("utf-8", "replace").strip().splitlines()
        last = said[-1] if said else f"the installer ended with status {error.returncode}"
        raise EngineError(
            f"the official program could not be installed: {last}. {MANUAL}"
        ) from error
    except CommandError as error:
        raise EngineError(
            f"the official program was installed, and does not run. {MANUAL}"
        ) from error
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"the official program could not be downloaded from get.pulumi.com: {error}. {MANUAL}"
        ) from error
    return Installed(str(installed.version), Path(installed.command).parent)


_READING = (("stack", "select"), ("stack", "output"), ("stack", "history"))
_UPDATES = ("up", "refresh", "destroy")


class ProgramKilled(CommandError):
    """A signal ended the program: what it began is recorded as pending, and its lock is left."""


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
        self._should_stop: ShouldStop | None = None
        self._holding: Path | None = None

    def updating(self, should_stop: ShouldStop | None, holding: Path) -> Self:
        """The same program for one stack: interrupted (^C) as soon as ``should_stop`` says so.

        While it updates, it and its plugins hold the file ``holding`` (`engine.survivors`).

        Interrupted, it ends what runs, records it and begins nothing further. It must have begun
        its update by then: before that, an interrupt would kill it, perhaps with the lock taken.
        """
        command = copy.copy(self)
        command._should_stop, command._holding = should_stop, holding
        return command

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Run one command line; raises what `PulumiCommand.run` raises, and `ProgramKilled`.

        A lock of the stack whose process is dead is taken away, as on the embedded engine.
        """
        try:
            return self._run(args, cwd, additional_env, on_output, on_error)
        except ConcurrentUpdateError as error:
            if "--stack" not in args or not left_by_the_dead(str(error)):
                raise
        stack = args[args.index("--stack") + 1]
        self._run(["cancel", "--yes", "--stack", stack], cwd, additional_env, None, None)
        return self._run(args, cwd, additional_env, on_output, on_error)

    def _run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None,
        on_error: OnOutput | None,
    ) -> CommandResult:
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        backend = environment.get("PULUMI_BACKEND_URL", "")
        if backend.startswith("file://") and tuple(args[:2]) in _READING:
            answer = self._reader.answer(list(args), cwd, additional_env)
            if answer.code == 0:
                if on_output is not None:
                    for line in answer.stdout.splitlines():
                        on_output(line)
                return answer
        updates = args[0] in _UPDATES and "--preview-only" not in args
        with held(self._holding) if updates and self._holding else nullcontext() as descriptor:
            ended = run_child(
                # Without it, a question to the user would hang for ever.
                [self.command, "--non-interactive", *args],
                directory=cwd,
                environment=environment,
                on_output=on_output,
                on_error=on_error,
                should_stop=self._should_stop if args[0] in _UPDATES else None,
                inherited=[] if descriptor is None else [descriptor],
            )
        result = CommandResult(ended.stdout, ended.stderr, ended.code)
        if result.code < 0:
            raise ProgramKilled(result)
        if result.code:
            raise create_command_error(result)
        return result


def left_by_the_dead(text: str) -> bool:
    """Tell whether all locks that the program's refusal names are of dead processes of ours.

    One of another machine counts as one of the living: it can't be looked into.
    """
    owners = owners_in(text)
    return bool(owners) and all(owner.is_dead() for owner in owners)
