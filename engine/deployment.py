"""One run of a program: resources are planned and made as they are registered."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from engine.backend import StackName
from engine.deletions import run_deletions
from engine.errors import EngineError, UnsupportedError
from engine.executor import Executor, StepFailedError
from engine.goal import Goal
from engine.planner import Planner
from engine.properties import Secret, contains_unknown, plain
from engine.provider import Properties, ProviderError
from engine.providers import ProviderRegistry, default_provider_state
from engine.reporting import Reporter
from engine.snapshots import SnapshotManager
from engine.state import ResourceState, Snapshot
from engine.steps import Op, Step
from engine.stopping import Stopper
from engine.urn import is_provider_type, package_of, split_provider_reference


class DeploymentEndedError(Exception):
    """The deployment failed or was cancelled: the program need not go on."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a program is told about the run. ``config`` maps full keys to text, decrypted."""

    stack: StackName
    config: Mapping[str, str]
    secret_keys: frozenset[str]
    dry_run: bool
    parallel: int


class Deployment:
    """Takes registrations, from many threads at once, and finally deletes what is left over."""

    def __init__(
        self,
        context: RunContext,
        base: Snapshot,
        providers: ProviderRegistry,
        reporter: Reporter,
        snapshots: SnapshotManager | None,
        stopper: Stopper | None = None,
    ) -> None:
        """``snapshots`` is None in a preview; ``stopper`` None when nobody can stop the update."""
        self.context = context
        self.reporter = reporter
        self.failed = False
        self._providers = providers
        self._snapshots = snapshots
        self._planner = Planner(
            base.resources, context.stack.name, context.stack.project, providers
        )
        self._executor = Executor(providers, reporter, snapshots, stopper)
        self._news: dict[str, ResourceState] = {}
        self._provider_maps: dict[str, Mapping[str, str]] = {}
        self._planning = threading.Lock()
        self._acting = threading.Condition()
        self._acts = 0
        self._closed = False
        self._slots = threading.BoundedSemaphore(context.parallel)

    def register(self, goal: Goal) -> ResourceState:
        """Bring a resource into the state that the program wants.

        Raises DeploymentEndedError once anything failed; the reason was reported.
        """
        with self._planning:
            self._require_running()
            try:
                steps = self._planner.plan(goal, self._provider_reference(goal))
            except (EngineError, ProviderError) as error:
                raise self._fail(str(error), self._planner.urn_of(goal)) from error
            self._note_new_name(steps)
            self._begin_act()
        return self._act(goal, steps)

    def read(self, goal: Goal, id_: str) -> ResourceState:
        """Look up a resource that something else manages. Raises DeploymentEndedError."""
        with self._planning:
            self._require_running()
            try:
                step = self._planner.plan_read(goal, self._provider_reference(goal), id_)
            except (EngineError, ProviderError) as error:
                raise self._fail(str(error), self._planner.urn_of(goal)) from error
            self._begin_act()
        return self._act(goal, [step])

    def register_outputs(self, urn: str, outputs: Properties) -> None:
        """Record the outputs of a component or of the stack. Raises EngineError."""
        with self._planning:
            self._require_running()
            state = self._news.get(urn)
            if state is None:
                raise EngineError(f"outputs were registered for {urn}, which is not registered")
            new = state.changed(outputs=outputs)
            self._news[urn] = new
        self.reporter.keep_secret(outputs)
        if self._snapshots is not None and outputs != state.outputs:
            self._snapshots.place(new, None)
        self.reporter.outputs(new)

    def invoke(
        self, token: str, args: Properties, goal_provider: str, version: str
    ) -> Properties | None:
        """Call a function of a provider; None when arguments are unknown.

        Raises ProviderError, EngineError.
        """
        if contains_unknown(args):
            return None
        if token == "pulumi:pulumi:getResource":  # noqa: S105 - a function token
            return self._get_resource(str(plain(args).get("urn")))
        with self._planning:
            reference = goal_provider or self._default_provider(package_of(token), version)
        return self._providers.provider(reference, token).invoke(token, plain(args))

    def finish(self) -> None:
        """Delete what the program no longer wants. Failures are reported."""
        steps = self._planner.deletions()
        protected = [step for step in steps if step.state.protect and step.op is Op.DELETE]
        for step in protected:
            self.failed = True
            self.reporter.error(protected_message(step.urn), step.urn)
        if not protected and not run_deletions(
            steps, self._executor.run, parallel=self.context.parallel
        ):
            self.failed = True

    def cancel(self) -> None:
        """Take no further registrations; what is being done is finished."""
        self.failed = True

    def drain(self) -> None:
        """Take no further registrations and wait until the last act has ended.

        A program that fails does not wait for what it has begun.
        """
        with self._planning:
            self._closed = True
        with self._acting:
            self._acting.wait_for(lambda: self._acts == 0)

    def _require_running(self) -> None:
        if self.failed or self._closed:
            raise DeploymentEndedError

    def _begin_act(self) -> None:
        with self._acting:
            self._acts += 1

    def _act(self, goal: Goal, steps: list[Step]) -> ResourceState:
        try:
            state = self._run(steps)
            self._settle(goal, state)
        finally:
            with self._acting:
                self._acts -= 1
                self._acting.notify_all()
        return state

    def _fail(self, message: str, urn: str) -> DeploymentEndedError:
        self.failed = True
        self.reporter.error(message, urn)
        return DeploymentEndedError()

    def _run(self, steps: list[Step]) -> ResourceState:
        final: ResourceState | None = None
        with self._slots:
            for step in steps:
                if self.failed:
                    raise DeploymentEndedError
                try:
                    state = self._executor.run(step)
                except StepFailedError as error:
                    self.failed = True
                    raise DeploymentEndedError from error
                if step.op is not Op.REPLACE and state is not None:
                    final = state
        if final is None:
            raise DeploymentEndedError
        return final

    def _settle(self, goal: Goal, state: ResourceState) -> None:
        with self._planning:
            self._news[state.urn] = state
            inherited = self._provider_maps.get(goal.parent, {})
            self._provider_maps[state.urn] = {**inherited, **goal.providers}
            if is_provider_type(state.type):
                self._providers.add(state)

    def _note_new_name(self, steps: list[Step]) -> None:
        old_urn = self._planner.old_urn(steps[0].urn) if steps else None
        if old_urn and self._snapshots is not None:
            self._snapshots.renamed(old_urn, steps[0].urn)

    def _provider_reference(self, goal: Goal) -> str:
        """The provider of a goal: its own, that of its parents, or the default one."""
        if not goal.custom or is_provider_type(goal.type):
            return ""
        if goal.provider:
            return self._known_reference(goal.provider)
        package = package_of(goal.type)
        inherited = self._provider_maps.get(goal.parent, {}).get(package)
        return inherited or self._default_provider(package, goal.version)

    def _known_reference(self, reference: str) -> str:
        """In a preview the program does not know the id of a provider that is to be made."""
        if self._providers.state(reference) is not None:
            return reference
        state = self._news.get(split_provider_reference(reference)[0])
        if state is None:
            raise UnsupportedError(f"the unknown provider {reference}")
        return f"{state.urn}::{state.id}"

    def _default_provider(self, package: str, version: str) -> str:
        stack = self.context.stack
        config = {
            key: Secret(value) if key in self.context.secret_keys else value
            for key, value in self.context.config.items()
        }
        state = default_provider_state(stack.name, stack.project, package, version, config)
        known = self._news.get(state.urn)
        if known is not None:
            return f"{known.urn}::{known.id}"
        state = self._adopt_recorded(state)
        self._news[state.urn] = state
        return self._providers.add(state)

    def _adopt_recorded(self, state: ResourceState) -> ResourceState:
        old = self._planner.recorded(state.urn)
        if old is not None:
            self._planner.kept.add(old)
            state = state.changed(id=old.id, created=old.created, modified=old.modified)
        state = state.changed(outputs=state.inputs)
        if self._snapshots is not None:
            self._snapshots.place(state, old)
        return state

    def _get_resource(self, urn: str) -> Properties:
        state = self._news.get(urn)
        if state is None:
            raise EngineError(f"unknown resource {urn}")
        return {"urn": state.urn, "id": state.id, "state": state.outputs}


def protected_message(urn: str) -> str:
    """Why a resource is not deleted, and what to do."""
    return (
        f"resource '{urn}' cannot be deleted because it is protected. To unprotect the resource, "
        "remove the `protect` flag from the resource in your program and run `up`"
    )
