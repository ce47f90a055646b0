"""The verbs that look at or change resources: up, preview, refresh and destroy."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from engine.backend import StackName
from engine.checkpoint import CheckpointEncoder
from engine.checkpoint import Deployment as Recorded
from engine.configuration import ConfigEntry
from engine.deletions import run_deletions
from engine.deployment import Deployment, RunContext, protected_message
from engine.display import Display
from engine.errors import EngineError, UpdateFailedError
from engine.executor import Executor
from engine.locks import locked
from engine.monitor import EngineService, Monitor
from engine.options import Kind, UpdateOptions, heading
from engine.planner import deletion_step
from engine.properties import MASK, Secret
from engine.provider import ProviderFactory
from engine.providers import ProviderRegistry
from engine.refresh import Refresher
from engine.replay import Replay
from engine.reporting import Reporter, Sink
from engine.session import Session
from engine.snapshots import SnapshotManager
from engine.state import PendingOperation, ResourceState, Snapshot
from engine.steps import Op, Step
from engine.stopping import ShouldStop, Stopper
from engine.transport import open_event_log, run_remote_program
from engine.urn import is_provider_type

RunProgram = Callable[[RunContext, Monitor, EngineService], str]
"""Runs a program against the services; returns its error, or an empty text."""


@dataclass
class Update:
    """One run of a verb on one stack."""

    session: Session
    stack: StackName
    kind: Kind
    options: UpdateOptions
    provider_factory: ProviderFactory
    run_program: RunProgram | None = None
    on_event: Sink | None = None
    should_stop: ShouldStop | None = None
    _started: float = field(default_factory=time.time)

    def run(self) -> None:
        """Do it. Raises UpdateFailedError after everything was reported, else EngineError."""
        title = heading(self.kind, dry_run=self.options.dry_run)
        self.session.say(f"{title} ({self.stack.name}):")
        with ExitStack() as stack:
            stale = []
            if not self.options.dry_run:
                locks = self.session.backend.lock_directory(self.stack)
                self.session.backend.read(self.stack)
                stale = stack.enter_context(locked(locks))
            recorded = self.session.load(self.stack)
            config = self.session.config(self.stack)
            display = Display(self.session.say, planning=self.options.dry_run)
            reporter = self._reporter(stack, display)
            reporter.prelude(_masked_config(config))
            for owner in stale:
                reporter.warning(f"took over a lock whose process is dead: {owner}")
            self._remember_secrets(reporter, recorded.snapshot, config)
            final = self._work(reporter, recorded, config)
            self._report_end(reporter, display, final)

    def _reporter(self, stack: ExitStack, display: Display) -> Reporter:
        sinks: list[Sink] = [display]
        if self.on_event is not None:
            sinks.append(self.on_event)
        if self.options.event_log:
            log = open_event_log(self.options.event_log)
            stack.callback(log.close)
            sinks.append(log)
        reporter = Reporter(sinks, planning=self.options.dry_run, debug=self.options.debug)
        stack.callback(reporter.end)
        return reporter

    def _remember_secrets(
        self, reporter: Reporter, snapshot: Snapshot, config: dict[str, ConfigEntry]
    ) -> None:
        for entry in config.values():
            if entry.secret:
                reporter.keep_secret(Secret(entry.value))
        for state in snapshot.resources:
            reporter.keep_secret(state.inputs)
            reporter.keep_secret(state.outputs)

    def _work(
        self, reporter: Reporter, recorded: Recorded, config: dict[str, ConfigEntry]
    ) -> Snapshot:
        base, retained = self._pending(reporter, recorded.snapshot)
        providers = ProviderRegistry(self.provider_factory, self.session.environment)
        for state in base.resources:
            if is_provider_type(state.type):
                providers.add(state)
        if self.kind is not Kind.UPDATE and self.options.run_program:
            base = self._replay_program(reporter, base, providers, config)
        stopper = Stopper(reporter, self.should_stop)
        if (self.options.refresh or self.kind is Kind.REFRESH) and not reporter.errors:
            base = Refresher(providers, reporter, self.options.parallel, stopper).refresh(base)
        snapshots = self._snapshots(base, retained, recorded)
        try:
            if self.kind is Kind.UPDATE:
                deployment = Deployment(
                    self._context(config), base, providers, reporter, snapshots, stopper
                )
                self._run_program(deployment)
            elif self.kind is Kind.DESTROY and not reporter.errors:
                self._destroy(reporter, base, Executor(providers, reporter, snapshots, stopper))
            self._check_expectation(reporter)
        except EngineError as error:
            reporter.error(str(error))
        finally:
            if snapshots is not None:
                snapshots.close()
                self._record_history(reporter)
        return snapshots.current() if snapshots is not None else base

    def _pending(
        self, reporter: Reporter, snapshot: Snapshot
    ) -> tuple[Snapshot, list[PendingOperation]]:
        """Creations that were interrupted stay recorded until someone looks after them."""
        pending = snapshot.pending_operations
        if not pending:
            return snapshot, []
        creates = [operation for operation in pending if operation.type == "creating"]
        if self.options.clear_pending_creates:
            return replace(snapshot, pending_operations=()), []
        if not self.options.dry_run:
            reporter.warning(_pending_message(pending))
        return replace(snapshot, pending_operations=tuple(creates)), creates

    def _snapshots(
        self, base: Snapshot, retained: list[PendingOperation], recorded: Recorded
    ) -> SnapshotManager | None:
        if self.options.dry_run:
            return None
        backend, stack = self.session.backend, self.stack
        backend.keep_last_good(stack)
        encoder = CheckpointEncoder(stack.full, recorded.secrets)
        return SnapshotManager(
            base, retained, lambda snapshot: backend.write(stack, encoder.encode(snapshot))
        )

    def _run_program(self, deployment: Deployment) -> None:
        if deployment.reporter.errors:
            return
        self._drive(deployment)
        if not deployment.reporter.errors and not deployment.failed:
            deployment.finish()

    def _replay_program(
        self,
        reporter: Reporter,
        base: Snapshot,
        providers: ProviderRegistry,
        config: dict[str, ConfigEntry],
    ) -> Snapshot:
        """Let the program say what its providers are, and nothing else."""
        replay = Replay(self._context(config), base, providers, reporter, None)
        try:
            self._drive(replay)
        except EngineError as error:
            reporter.error(str(error))
        return replay.snapshot(base)

    def _context(self, config: dict[str, ConfigEntry]) -> RunContext:
        return RunContext(
            stack=self.stack,
            config={key: entry.value for key, entry in config.items()},
            secret_keys=frozenset(key for key, entry in config.items() if entry.secret),
            dry_run=self.options.dry_run,
            parallel=self.options.parallel,
        )

    def _drive(self, deployment: Deployment) -> None:
        """Run the program against a deployment; what it complains of is reported."""
        monitor, engine = Monitor(deployment), EngineService(deployment)
        try:
            error = self._program_error(deployment.context, monitor, engine)
        finally:
            deployment.drain()
        if error and not deployment.reporter.errors:
            deployment.reporter.error(error)

    def _program_error(self, context: RunContext, monitor: Monitor, engine: EngineService) -> str:
        if self.run_program is not None:
            return self.run_program(context, monitor, engine)
        if self.options.client:
            return run_remote_program(
                self.options.client, context, monitor, engine, self.session.directory
            )
        raise EngineError(
            "there is no program to run: the embedded engine runs programs that the Automation "
            "API passes inline; use the official `pulumi` program for those in a folder"
        )

    def _destroy(self, reporter: Reporter, base: Snapshot, executor: Executor) -> None:
        resources = base.resources
        if self.options.exclude_protected:
            resources = tuple(unprotected(resources))
        protected = [state for state in resources if state.protect]
        for state in protected:
            reporter.error(protected_message(state.urn), state.urn)
        if not protected:
            steps = [_destruction(state) for state in resources]
            run_deletions(steps, executor.run, parallel=self.options.parallel)

    def _check_expectation(self, reporter: Reporter) -> None:
        changed = any(op != Op.SAME and count for op, count in reporter.changes.items())
        if self.options.expect_no_changes and changed and not reporter.errors:
            what = "were proposed" if self.options.dry_run else "occurred"
            reporter.error(f"no changes were expected but changes {what}")

    def _record_history(self, reporter: Reporter) -> None:
        environment = {"exec.kind": self.options.exec_kind} if self.options.exec_kind else {}
        self.session.backend.add_history(
            self.stack,
            {
                "kind": self.kind.value,
                "startTime": int(self._started),
                "message": self.options.message,
                "environment": environment,
                "config": self.session.settings(self.stack).config,
                "version": 0,
                "result": "failed" if reporter.errors else "succeeded",
                "endTime": int(time.time()),
                "resourceChanges": dict(reporter.changes),
            },
        )

    def _report_end(self, reporter: Reporter, display: Display, final: Snapshot) -> None:
        reporter.summary()
        shows_outputs = self.kind is Kind.UPDATE and not self.options.suppress_outputs
        outputs = final.root_outputs() if shows_outputs and not self.options.dry_run else None
        display.finish(outputs, reporter.changes)
        if reporter.errors:
            for message in reporter.errors:
                self.session.complain(f"error: {message}")
            verb = "preview" if self.options.dry_run else self.kind.value
            raise UpdateFailedError(f"{verb} failed")


def unprotected(resources: tuple[ResourceState, ...]) -> list[ResourceState]:
    """Leave out what is protected, and all that it needs."""
    needed: set[str] = set()
    doomed: list[ResourceState] = []
    for state in reversed(resources):
        if state.protect or state.urn in needed:
            needed |= state.references()
        else:
            doomed.append(state)
    return doomed[::-1]


def _destruction(state: ResourceState) -> Step:
    if state.pending_replacement:
        return Step(Op.REMOVE_PENDING_REPLACE, old=state)
    return deletion_step(state)


def _masked_config(config: dict[str, ConfigEntry]) -> dict[str, str]:
    return {key: MASK if entry.secret else entry.value for key, entry in config.items()}


def _pending_message(pending: tuple[PendingOperation, ...]) -> str:
    lines = "".join(
        f"\n  * {operation.resource.urn}, interrupted while {operation.type}"
        for operation in pending
    )
    return (
        f"Attempting to deploy or update resources with {len(pending)} pending operations from "
        f"previous deployment.{lines}\nThese resources are in an unknown state because an earlier "
        "update was interrupted while it waited for changes to complete. Look whether they exist, "
        "then run `refresh` with --clear-pending-creates to drop the pending creations."
    )
