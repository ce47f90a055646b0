"""Refreshing: what is recorded becomes what the cloud holds."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from engine.errors import EngineError
from engine.properties import plain, with_secret_keys, with_secrets_of
from engine.provider import ProviderError
from engine.providers import ProviderRegistry
from engine.reporting import Reporter
from engine.state import ResourceState, Snapshot, timestamp
from engine.steps import Op, Step, failure_message
from engine.stopping import Stopper
from engine.urn import is_provider_type


@dataclass(frozen=True, slots=True)
class Refresher:
    """Reads every managed resource of a snapshot."""

    providers: ProviderRegistry
    reporter: Reporter
    parallel: int
    stopper: Stopper | None = None

    def refresh(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot as the cloud has it. Errors are reported; what could not be read stays."""
        with ThreadPoolExecutor(max(1, min(self.parallel, len(snapshot.resources)))) as pool:
            found = list(pool.map(self._refresh_one, snapshot.resources))
        return replace(snapshot, resources=tuple(without_gone(found)))

    def _refresh_one(self, old: ResourceState) -> ResourceState | None:
        if old.pending_replacement:
            return old
        if self.stopper is not None and self.stopper.stops(old):
            return old
        step = Step(Op.REFRESH, old=old, new=old)
        self.reporter.begun(step)
        if not old.custom or is_provider_type(old.type):
            self.reporter.done(step, old, Op.SAME)
            return old
        try:
            new = self._read(old)
        except (ProviderError, EngineError) as error:
            self.reporter.failed(step, failure_message(step, error))
            return old
        self.reporter.done(_step(old, new), new, _outcome(old, new))
        return new

    def _read(self, old: ResourceState) -> ResourceState | None:
        provider = self.providers.provider(old.provider, old.type)
        read = provider.read(old.type, old.id, plain(old.inputs), plain(old.outputs))
        if read is None:
            return None
        id_, inputs, outputs = read
        secret = {*provider.secret_outputs(old.type), *old.additional_secret_outputs}
        new = old.changed(
            id=id_,
            inputs=with_secrets_of(inputs, old.inputs),
            outputs=with_secret_keys(with_secrets_of(outputs, old.outputs), secret),
        )
        return old if _same(old, new) else new.changed(modified=timestamp())


def without_gone(states: Iterable[ResourceState | None]) -> list[ResourceState]:
    """Leave out what is gone, and every mention of it."""
    kept: list[ResourceState] = []
    known: set[str] = set()
    for state in states:
        if state is None:
            continue
        kept.append(state if state.references() <= known else _mentioning_only(state, known))
        known.add(state.urn)
    return kept


def _mentioning_only(state: ResourceState, known: set[str]) -> ResourceState:
    return state.changed(
        parent=state.parent if state.parent in known else "",
        dependencies=tuple(urn for urn in state.dependencies if urn in known),
        property_dependencies={
            key: tuple(urn for urn in urns if urn in known)
            for key, urns in state.property_dependencies.items()
        },
    )


def _same(old: ResourceState, new: ResourceState) -> bool:
    return (
        old.id == new.id
        and plain(old.inputs) == plain(new.inputs)
        and plain(old.outputs) == plain(new.outputs)
    )


def _outcome(old: ResourceState, new: ResourceState | None) -> Op:
    if new is None:
        return Op.DELETE
    return Op.SAME if new is old else Op.UPDATE


def _step(old: ResourceState, new: ResourceState | None) -> Step:
    keys: set[str] = set()
    if new is not None and new is not old:
        for before, after in ((old.inputs, new.inputs), (old.outputs, new.outputs)):
            left, right = plain(before), plain(after)
            keys |= {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
    return Step(Op.REFRESH, old=old, new=new, diff_keys=tuple(sorted(keys)))
