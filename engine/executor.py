"""Doing: runs a step, records its intent before and its outcome after, and tells of both."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import EngineError
from engine.planner import check
from engine.properties import (
    contains_unknown,
    plain,
    with_echoes_of,
    with_secret_keys,
    with_secrets_of,
)
from engine.provider import UNKNOWN, Properties, Provider, ProviderError
from engine.providers import ProviderRegistry
from engine.reporting import Reporter
from engine.snapshots import SnapshotManager
from engine.state import PendingOperation, ResourceState, timestamp
from engine.steps import Op, Step, failure_message
from engine.stopping import Stopper
from engine.urn import is_provider_type


class StepFailedError(Exception):
    """A step failed, or was not begun because the update ends; why was reported and recorded."""


class Executor:
    """Runs steps of one update, from many threads at once.

    ``snapshots`` is None in a preview: nothing is recorded and no provider is asked to act.
    """

    def __init__(
        self,
        providers: ProviderRegistry,
        reporter: Reporter,
        snapshots: SnapshotManager | None,
        stopper: Stopper | None = None,
    ) -> None:
        self._stopper = stopper
        self._providers = providers
        self._reporter = reporter
        self._snapshots = snapshots
        self._handlers: dict[Op, Callable[[Step], ResourceState | None]] = {
            Op.SAME: self._same,
            Op.CREATE: self._create,
            Op.CREATE_REPLACEMENT: self._create,
            Op.UPDATE: self._update,
            Op.DELETE: self._delete,
            Op.DISCARD: self._delete,
            Op.DELETE_REPLACED: self._delete,
            Op.REMOVE_PENDING_REPLACE: self._forget,
            Op.REPLACE: self._announce,
            Op.READ: self._read,
            Op.IMPORT: self._import,
        }

    def run(self, step: Step) -> ResourceState | None:
        """Run a step; returns the resource as it is then, None when it is gone.

        Raises StepFailedError after reporting why.
        """
        if self._stopper is not None and self._stopper.stops(step.state):
            raise StepFailedError
        self._reporter.begun(step)
        if step.new is not None:
            self._reporter.keep_secret(step.new.inputs)
        try:
            state = self._handlers[step.op](step)
        except (ProviderError, EngineError) as error:
            self._reporter.failed(step, failure_message(step, error))
            raise StepFailedError from error
        except Exception as error:
            # A provider is a plug-in: whatever it raises fails this one step. The intent stays
            # recorded, because nobody knows how far it came.
            message = failure_message(step, f"{type(error).__name__}: {error}")
            self._reporter.failed(step, message)
            raise StepFailedError from error
        if state is not None:
            self._reporter.keep_secret(state.outputs)
        self._reporter.done(step, state)
        return state

    def _same(self, step: Step) -> ResourceState:
        new = _required(step.new)
        if new.custom and not is_provider_type(new.type):
            new = new.changed(outputs=self._with_secrets(new, new.outputs))
        if self._snapshots is not None:
            self._snapshots.place(new, step.old)
        return new

    def _create(self, step: Step) -> ResourceState:
        new = _required(step.new)
        if self._snapshots is None:
            return self._foretold(new)
        if not self._is_managed(new):
            return self._record(step, _timed(_with_own_outputs(new)))
        _require_known(new)
        provider = self._provider(new)
        operation = self._snapshots.begin("creating", new)
        try:
            id_, outputs = provider.create(
                new.type, plain(new.inputs), urn=new.urn, timeout=new.timeout("create")
            )
        except ProviderError as error:
            self._end_failed_create(operation, step, new, error)
            raise
        made = _timed(new.changed(id=id_, outputs=self._with_secrets(new, outputs)))
        return self._record(step, made, operation)

    def _end_failed_create(
        self, operation: PendingOperation, step: Step, new: ResourceState, error: ProviderError
    ) -> None:
        snapshots = self._snapshots
        if snapshots is None:
            return
        if error.partial is not None:
            id_, outputs = error.partial
            half = new.changed(id=id_, outputs=self._with_secrets(new, outputs))
            self._record(step, _timed(half.changed(init_errors=(str(error),))), operation)
        elif not error.retryable:
            snapshots.end(operation)
        # Otherwise it may exist: the intent stays, as after a crash.

    def _record(
        self, step: Step, made: ResourceState, operation: PendingOperation | None = None
    ) -> ResourceState:
        if self._snapshots is not None:
            replaces = step.op is Op.CREATE_REPLACEMENT and not step.delete_first
            successor = step.old.changed(delete=True) if replaces and step.old else None
            if operation is None:
                self._snapshots.place(made, step.old, successor)
            else:
                self._snapshots.end(operation, new=made, old=step.old, old_becomes=successor)
        return made

    def _update(self, step: Step) -> ResourceState:
        new, old = _required(step.new), _required(step.old)
        if self._snapshots is None:
            return self._foretold_update(old, new)
        if not self._is_managed(new):
            return self._record(step, _modified(_with_own_outputs(new)))
        _require_known(new)
        provider = self._provider(new)
        operation = self._snapshots.begin("updating", new)
        try:
            outputs = provider.update(
                new.type,
                old.id,
                plain(old.inputs),
                plain(old.outputs),
                plain(new.inputs),
                timeout=new.timeout("update"),
            )
        except ProviderError as error:
            if error.partial is not None:
                half = self._with_secrets(old, error.partial[1])
                new = new.changed(inputs=old.inputs, outputs=half, init_errors=(str(error),))
                self._record(step, _modified(new), operation)
            else:
                self._snapshots.end(operation)
            raise
        return self._record(
            step, _modified(new.changed(outputs=self._with_secrets(new, outputs))), operation
        )

    def _delete(self, step: Step) -> None:
        old = _required(step.old)
        if self._snapshots is None:
            return
        remains = old.changed(pending_replacement=True) if step.delete_first else None
        if old.external or old.retain_on_delete or not self._is_managed(old):
            self._snapshots.place(None, old, remains)
            return
        provider = self._provider(old)
        operation = self._snapshots.begin("deleting", old)
        try:
            provider.delete(
                old.type,
                old.id,
                plain(old.inputs),
                plain(old.outputs),
                timeout=old.timeout("delete"),
            )
        except ProviderError:
            self._snapshots.end(operation)
            raise
        self._snapshots.end(operation, old=old, old_becomes=remains)

    def _forget(self, step: Step) -> None:
        if self._snapshots is not None:
            self._snapshots.place(None, step.old)

    def _announce(self, step: Step) -> ResourceState:
        """The step "replace" only names what its neighbours do."""
        return _required(step.new)

    def _read(self, step: Step) -> ResourceState:
        new = _required(step.new)
        read = self._provider(new).read(new.type, new.id, plain(new.inputs), {})
        if read is None:
            raise EngineError(f"resource '{new.id}' does not exist")
        outputs = self._with_secrets(new, read[2])
        return self._record(step, new.changed(id=read[0], outputs=outputs))

    def _import(self, step: Step) -> ResourceState:
        """Adopt an existing resource, if it is just as the program wants it."""
        new, goal = _required(step.new), step.goal
        provider = self._provider(new)
        read = provider.read(new.type, new.import_id, {}, {})
        if read is None:
            raise EngineError(f"resource '{new.import_id}' does not exist")
        id_, inputs, outputs = read
        ignored = goal.ignore_changes if goal else ()
        if goal is not None:
            wanted = check(provider, goal, new.urn, new.inputs, inputs)
            new = new.changed(inputs=wanted)
        diff = provider.diff(new.type, id_, inputs, outputs, plain(new.inputs), ignored)
        if diff.changes:
            names = ", ".join(diff.diffs or diff.replaces) or "unnamed properties"
            raise EngineError(
                f"inputs to import do not match the existing resource '{new.import_id}': {names} "
                "differ. Make the program agree with the resource, or the resource with the "
                "program, and import again"
            )
        made = new.changed(id=id_, outputs=self._with_secrets(new, outputs))
        if self._snapshots is None:
            return made
        operation = self._snapshots.begin("importing", new)
        return self._record(step, _timed(made), operation)

    def _foretold(self, new: ResourceState) -> ResourceState:
        """What a preview says a new resource will be like."""
        if not self._is_managed(new):
            return _with_own_outputs(new)
        outputs = self._provider(new).preview_outputs(new.type, plain(new.inputs))
        return new.changed(id="", outputs=self._with_secrets(new, outputs))

    def _foretold_update(self, old: ResourceState, new: ResourceState) -> ResourceState:
        """Outputs that only the cloud knows stay as they were in an update in place."""
        if not self._is_managed(new):
            return _with_own_outputs(new)
        outputs = self._provider(new).preview_outputs(new.type, plain(new.inputs))
        kept = {
            key: old.outputs[key] if value is UNKNOWN and key in old.outputs else value
            for key, value in {**old.outputs, **outputs}.items()
        }
        return new.changed(outputs=self._with_secrets(new, kept))

    def _provider(self, state: ResourceState) -> Provider:
        return self._providers.provider(state.provider, state.type)

    def _is_managed(self, state: ResourceState) -> bool:
        return state.custom and not is_provider_type(state.type)

    def _with_secrets(self, state: ResourceState, outputs: Properties) -> Properties:
        """What went in secret comes out secret, and so does what is always secret."""
        wrapped = with_echoes_of(with_secrets_of(outputs, state.inputs), state.inputs)
        always = self._provider(state).secret_outputs(state.type)
        return with_secret_keys(wrapped, {*always, *state.additional_secret_outputs})


def _required(state: ResourceState | None) -> ResourceState:
    if state is None:
        raise ValueError("the step lacks a state")
    return state


def _require_known(state: ResourceState) -> None:
    if contains_unknown(state.inputs):
        raise EngineError(f"an input of {state.urn} is unknown although this is no preview")


def _with_own_outputs(state: ResourceState) -> ResourceState:
    """A provider's outputs are its inputs; components register theirs later."""
    if is_provider_type(state.type):
        return state.changed(outputs=state.inputs)
    return state


def _timed(state: ResourceState) -> ResourceState:
    now = timestamp()
    return state.changed(created=now, modified=now)


def _modified(state: ResourceState) -> ResourceState:
    return state.changed(modified=timestamp())
