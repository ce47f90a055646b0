"""The one module that drives Pulumi's Automation API.

It knows stacks, not clients. Everything else asks it for an ``up``, a ``preview``, a ``destroy``
and gets plain values, or a `StackError` with one code and one sentence.
"""

import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pulumi import automation as auto
from pulumi.automation import errors as auto_errors
from pulumi.automation import events as auto_events

from engine.aws.guarding import ask_guard
from engine.command import EmbeddedCommand
from engine.official import AssistedCommand, ProgramKilled
from engine.stopping import STOPPED
from engine.survivors import have_ended
from stacks.backend import Backend, Deployment, EngineKind, StackOutputs
from stacks.events import (
    Drift,
    EventLog,
    OnProgress,
    PlannedChange,
    ResourceProgress,
    ignore_progress,
)
from stacks.failures import (
    ENGINE_KILLED,
    LOCKED,
    Failure,
    StackError,
    cancelled,
    classify,
    code_in,
)
from stacks.locking import held, refuse_held
from stacks.stopping import NEVER, ShouldStop, Stop

_PREVIEW = re.compile(r"preview-[0-9a-f]{32}")
"""Name of the stack that stands in while something not there yet is previewed."""


_SURVIVORS_SECONDS = 10.0
"""How long an update waits for what an earlier one has left running, before its caller does."""
_SURVIVED = Failure(LOCKED, "what a killed update had begun still runs; this goes on when it ends")
_KILLED = Failure(ENGINE_KILLED, "The engine's program was killed before it had ended.")


class Program(Protocol):
    """A Pulumi program: an object that names its stack and declares resources when called."""

    project_name: str
    stack_name: str

    def __call__(self) -> None:
        """Declare the resources."""


@dataclass
class _Nothing:
    """A program that declares nothing: for questions about a whole project."""

    project_name: str
    stack_name: str = "none"

    def __call__(self) -> None:
        """Declare nothing."""


class Stacks:
    """Runs programs as stacks of one backend, many at once from many threads."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._variables = backend.variables()
        self._official: AssistedCommand | None = None
        self._setup = threading.Lock()

    @property
    def engine(self) -> EngineKind:
        """Return which engine is in use."""
        return self.backend.engine

    def engine_version(self) -> str:
        """Return the version of Pulumi that the engine is, or is compatible with."""
        embedded = self.engine == "embedded"
        command = EmbeddedCommand() if embedded else self._official_command()
        return str(command.version)

    def up(
        self,
        program: Program,
        on_progress: OnProgress = ignore_progress,
        *,
        should_stop: ShouldStop | None = None,
    ) -> StackOutputs:
        """Make AWS what the program says and return the outputs; raises `StackError`.

        ``should_stop`` is asked again and again, from any thread; once it says True, what runs is
        finished and recorded, nothing further is begun, and the error's code is `CANCELLED`.
        """
        log = EventLog(on_progress)
        with self._run(program, log, stop=Stop(should_stop)) as stack:
            result = stack.up(
                on_event=self._listener(log),
                parallel=self.backend.parallel,
                suppress_outputs=True,
                color="never",
            )
        return _outputs(result.outputs)

    def preview(self, program: Program) -> list[PlannedChange]:
        """Return what `up` would do; a stack that is not there yet is looked at as empty."""
        if self.exists(program):
            return self._preview(program, program.stack_name)
        # Under a name of its own, so that it can't get in the way of an `up` that begins now.
        name = f"preview-{uuid.uuid4().hex}"
        try:
            return self._preview(program, name)
        finally:
            with self._run(program, EventLog(), name) as stack:
                stack.workspace.remove_stack(name)

    def _preview(self, program: Program, name: str) -> list[PlannedChange]:
        log = EventLog()
        with self._run(program, log, name) as stack:
            stack.preview(on_event=self._listener(log), color="never")
        return log.planned()

    def preview_destroy(self, program: Program) -> list[PlannedChange]:
        """Return what `destroy` would do."""
        if not self.exists(program):
            return []
        log = EventLog()
        with self._run(program, log) as stack:
            stack.preview_destroy(on_event=self._listener(log), color="never")
        return log.planned()

    def drift(self, program: Program) -> list[Drift]:
        """Return where AWS differs from the stack; the state stays as it is."""
        if not self.exists(program):
            return []
        log = EventLog()
        with self._run(program, log) as stack:
            stack.preview_refresh(on_event=self._listener(log), color="never")
        return log.drift()

    def refresh(
        self,
        program: Program,
        on_progress: OnProgress = ignore_progress,
        *,
        should_stop: ShouldStop | None = None,
    ) -> list[Drift]:
        """Make the state what AWS holds, drop pending creations, and return what had drifted.

        What was half-made has to be deleted before, by recovery: it is forgotten here.
        ``should_stop`` as for `up`. Raises `StackError`.
        """
        if not self.exists(program):
            return []
        log = EventLog(on_progress)
        with self._run(program, log, stop=Stop(should_stop)) as stack:
            stack.refresh(
                on_event=self._listener(log),
                parallel=self.backend.parallel,
                clear_pending_creates=True,
                color="never",
            )
        return log.drift()

    def destroy(
        self,
        program: Program,
        on_progress: OnProgress = ignore_progress,
        *,
        should_stop: ShouldStop | None = None,
    ) -> None:
        """Remove from AWS all that the stack holds, then the stack; no stack is success.

        ``should_stop`` as for `up`: a stack that was stopped halfway is kept. Raises `StackError`.
        """
        if not self.exists(program):
            return
        log = EventLog(on_progress)
        with self._run(program, log, stop=Stop(should_stop)) as stack:
            stack.destroy(
                on_event=self._listener(log),
                parallel=self.backend.parallel,
                color="never",
                remove=True,
            )
        self._running(program).unlink(missing_ok=True)

    def wait_for_survivors(self, program: Program) -> None:
        """Wait until nothing runs any more that an update began which was killed, on this machine.

        What looks at AWS before would not see what that makes a moment later. Raises `StackError`.
        """
        if not have_ended(self._running(program), _SURVIVORS_SECONDS):
            raise StackError(program.stack_name, _SURVIVED)

    def exists(self, program: Program) -> bool:
        """Tell whether the backend has the program's stack."""
        log = EventLog()
        with self._translated(program, log):
            try:
                auto.Stack.select(program.stack_name, self._workspace(program, log))
            except auto_errors.StackNotFoundError:
                return False
            return True

    def refuse_held(self, program: Program) -> None:
        """Raise `StackError` when somebody's update holds the stack; see `stacks.locking`."""
        refuse_held(self.backend, program.project_name, program.stack_name)

    def names(self, project: str) -> list[str]:
        """Return the names of the project's stacks, those of previews under way aside."""
        program, log = _Nothing(project), EventLog()
        with self._translated(program, log):
            found = self._workspace(program, log).list_stacks()
        # The official program tells full names, organization/project/stack, from elsewhere.
        names = (stack.name.rsplit("/", 1)[-1] for stack in found)
        return [name for name in names if not _PREVIEW.fullmatch(name)]

    def export(self, program: Program) -> Deployment | None:
        """Return the stack's state, or None when there is no such stack."""
        if not self.exists(program):
            return None
        with self._run(program, EventLog()) as stack:
            state = stack.export_stack()
        return Deployment(int(state.version or 3), dict(state.deployment or {}))

    def import_(self, program: Program, state: Deployment) -> None:
        """Replace the stack's state, unless the guard of the thread forbids (`guarded`)."""
        ask_guard()
        with self._run(program, EventLog()) as stack:
            stack.import_stack(auto.Deployment(state.version, state.deployment))

    @contextmanager
    def _run(
        self,
        program: Program,
        log: EventLog,
        name: str | None = None,
        stop: Stop = NEVER,
    ) -> Iterator[auto.Stack]:
        if stop():
            raise StackError(program.stack_name, cancelled())
        with self._translated(program, log, stop):
            workspace = self._workspace(program, log, stop)
            yield auto.Stack.create_or_select(name or program.stack_name, workspace)

    def _listener(self, log: EventLog) -> Callable[[auto_events.EngineEvent], None] | None:
        """Return what the Automation API is to call; the embedded engine calls the log itself."""
        return log_listener(log) if self.engine == "official" else None

    @contextmanager
    def _translated(self, program: Program, log: EventLog, stop: Stop = NEVER) -> Iterator[None]:
        try:
            yield
        except auto_errors.ConcurrentUpdateError as error:
            failure = held(program.project_name, program.stack_name, str(error))
            raise StackError(program.stack_name, failure) from error
        except auto_errors.StackNotFoundError:
            raise
        except auto_errors.CommandError as error:
            if stop.asked and not any(code_in(text) for _, text in log.errors):
                raise StackError(program.stack_name, _cancelled(log)) from error
            if isinstance(error, ProgramKilled):
                raise StackError(program.stack_name, _KILLED) from error
            diagnostics = log.errors or [("", _last_words(error))]
            raise StackError(program.stack_name, classify(diagnostics)) from error
        except OSError as error:
            # The Automation API's own scratch files.
            raise StackError(program.stack_name, classify([("", str(error))])) from error

    def _workspace(
        self, program: Program, log: EventLog, stop: Stop = NEVER
    ) -> auto.LocalWorkspace:
        """Return the program's workspace.

        The embedded engine is given program and listener directly: the Automation API would serve
        each over gRPC on loopback, which takes longer than all that the engine itself does.
        """
        embedded = self.engine == "embedded"
        return auto.LocalWorkspace(
            work_dir=str(self._work_directory(program.project_name)),
            program=None if embedded else program,
            env_vars=self._variables,
            secrets_provider=self.backend.secrets_provider,
            pulumi_command=(
                EmbeddedCommand(program=program, on_event=_raw_listener(log), should_stop=stop)
                if embedded
                # Before its first event the program may not have begun to listen for interrupts.
                else self._official_command().updating(
                    lambda: log.begun and stop(), self._running(program)
                )
            ),
        )

    def _running(self, program: Program) -> Path:
        """Return the file that the stack's programs hold while they run."""
        folder = self._work_directory(program.project_name)
        return folder / f"{program.stack_name}.running"

    def _official_command(self) -> AssistedCommand:
        with self._setup:
            if self._official is None:
                self._official = AssistedCommand()
            return self._official

    def _work_directory(self, project: str) -> Path:
        """Return a scratch folder with the project's file, made once and shared by its stacks.

        A folder for each workspace would be left behind by each, and a file written anew by each
        would be read half-written by another.
        """
        folder = self.backend.work_directory / project
        with self._setup:
            file = folder / "Pulumi.yaml"
            if not file.exists():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                part = folder / f"Pulumi.yaml.{os.getpid()}"
                part.write_text(f"name: {project}\nruntime: python\nmain: {folder}\n")
                part.replace(file)
        return folder


def _outputs(outputs: auto.OutputMap) -> StackOutputs:
    return StackOutputs(
        plain={name: output.value for name, output in outputs.items() if not output.secret},
        secrets={name: output.value for name, output in outputs.items() if output.secret},
    )


def _cancelled(log: EventLog) -> Failure:
    before = [urn for urn, text in log.errors if text.startswith(STOPPED)]
    done = [progress.urn for progress in log.progress if progress.phase == "done"]
    return cancelled(before="".join(before[:1]), after="".join(done[-1:]))


def _last_words(error: auto_errors.CommandError) -> str:
    lines = [line for line in str(error).splitlines() if "error:" in line]
    return lines[-1].split("error:", 1)[1].strip() if lines else "The engine reported an error."


def _raw_listener(log: EventLog) -> Callable[[dict[str, Any]], None]:
    """Return a listener for events as the engine writes them."""
    listen = log_listener(log)
    return lambda event: listen(auto_events.EngineEvent.from_json(event))


def log_listener(log: EventLog) -> Callable[[auto_events.EngineEvent], None]:
    """Return a listener that turns engine events into the log's entries."""

    def listen(event: auto_events.EngineEvent) -> None:
        log.begun = True
        if event.resource_pre_event:
            log.add(_progress("started", event.resource_pre_event.metadata))
        elif event.res_outputs_event:
            log.add(_progress("done", event.res_outputs_event.metadata))
        elif event.res_op_failed_event:
            log.add(_progress("failed", event.res_op_failed_event.metadata))
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            log.errors.append((event.diagnostic_event.urn or "", event.diagnostic_event.message))

    return listen


def _progress(
    phase: Literal["started", "done", "failed"], metadata: auto_events.StepEventMetadata
) -> ResourceProgress:
    return ResourceProgress(
        phase=phase,
        operation=metadata.op.value,
        type=metadata.type,
        name=metadata.urn.rsplit("::", 1)[-1],
        urn=metadata.urn,
        changed_properties=tuple(metadata.diffs or ()),
    )
