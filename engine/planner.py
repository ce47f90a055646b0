"""Deciding: from what a program wants and what is recorded to steps.

Follows Pulumi's step generator (pkg/resource/deploy/step_generator.go) for the options that this
engine knows. Nothing here calls the cloud or writes state.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from engine.aliases import alias_urns
from engine.errors import EngineError
from engine.goal import Goal
from engine.properties import plain, with_old_values, with_secrets_of
from engine.provider import UNKNOWN, CheckFailure, Diff, Properties, Provider
from engine.providers import ProviderRegistry, region_differs, settings_of
from engine.state import ResourceState
from engine.steps import Op, Step
from engine.urn import is_provider_type, make_urn, parse_urn


class CheckFailedError(EngineError):
    """Input properties that cannot be used."""

    def __init__(self, urn: str, failures: Iterable[CheckFailure]) -> None:
        parts = parse_urn(urn)
        listed = "; ".join(f"property {failure.property}: {failure.reason}" for failure in failures)
        super().__init__(f"{parts.type} resource '{parts.name}' has a problem: {listed}")
        self.urn = urn


class Planner:
    """Decides the steps for each resource as the program registers it. Not thread-safe."""

    def __init__(
        self,
        resources: Iterable[ResourceState],
        stack: str,
        project: str,
        providers: ProviderRegistry,
    ) -> None:
        """``resources`` is what is recorded, in dependency order."""
        self.base = tuple(resources)
        self._stack = stack
        self._project = project
        self._providers = providers
        self._olds = {state.urn: state for state in self.base if not state.delete}
        self._seen: set[str] = set()
        self._old_names: dict[str, str] = {}
        self._deleted_first: dict[str, tuple[str, ...]] = {}
        self._parents: dict[str, ResourceState] = {}
        self.kept: set[ResourceState] = set()
        """Recorded states that the program still wants."""
        self.replaced: set[ResourceState] = set()
        """Recorded states that go once their successor is there."""

    def urn_of(self, goal: Goal) -> str:
        """The URN that a goal gets."""
        return make_urn(self._stack, self._project, goal.parent, goal.type, goal.name)

    def deletions(self) -> list[Step]:
        """The steps for everything that is recorded and no longer wanted, dependents last."""
        return [step for step in map(self._deletion, self.base) if step is not None]

    def _deletion(self, state: ResourceState) -> Step | None:
        if state in self.replaced:
            return Step(Op.DELETE_REPLACED, old=state)
        if state in self.kept:
            return None
        if state.pending_replacement or state.urn in self._deleted_first:
            return Step(Op.REMOVE_PENDING_REPLACE, old=state)
        return deletion_step(state)

    def old_urn(self, urn: str) -> str | None:
        """The URN under which a renamed resource is recorded."""
        return self._old_names.get(urn)

    def recorded(self, urn: str) -> ResourceState | None:
        """The recorded state of a resource."""
        return self._olds.get(urn)

    def recorded_as(self, goal: Goal) -> ResourceState | None:
        """The recorded state that a goal means, under its name or an alias. Raises EngineError."""
        old = self._find_old(goal, self._claim(goal))
        if old is not None:
            self.kept.add(old)
        return old

    def plan(self, goal: Goal, provider: str) -> list[Step]:
        """The steps that a goal asks for; ``provider`` is the reference of its provider.

        Raises EngineError when the goal cannot be met, ProviderError from the provider.
        """
        urn = self._claim(goal)
        old = self._find_old(goal, urn)
        if old is not None:
            self.kept.add(old)
        if not goal.custom:
            return [self._plan_component(goal, urn, old)]
        if is_provider_type(goal.type):
            return self._plan_provider(goal, urn, old)
        return self._plan_custom(goal, urn, old, provider)

    def plan_read(self, goal: Goal, provider: str, id_: str) -> Step:
        """The step that looks a resource up which something else manages."""
        urn = self._claim(goal)
        old = self._find_old(goal, urn)
        if old is not None:
            self.kept.add(old)
            if not old.external:
                raise EngineError(f"{urn} is managed by this stack; it cannot also be looked up")
        new = self._new_state(goal, urn, goal.inputs, old, provider)
        return Step(Op.READ, old=old, new=new.changed(id=id_, external=True), goal=goal)

    def _claim(self, goal: Goal) -> str:
        urn = self.urn_of(goal)
        if urn in self._seen:
            raise EngineError(f"Duplicate resource URN '{urn}'; try giving it a unique name")
        self._seen.add(urn)
        return urn

    def _find_old(self, goal: Goal, urn: str) -> ResourceState | None:
        if urn in self._olds:
            return self._olds[urn]
        for alias in alias_urns(goal, self._stack, self._project, self._old_names):
            old = self._olds.get(alias)
            if old is not None and old not in self.kept:
                self._old_names[urn] = alias
                return old
        return None

    def _plan_component(self, goal: Goal, urn: str, old: ResourceState | None) -> Step:
        new = self._new_state(goal, urn, goal.inputs, old, "")
        self._parents[urn] = new
        if old is None:
            return Step(Op.CREATE, new=new, goal=goal)
        changed = plain(old.inputs) != plain(goal.inputs)
        return Step(Op.UPDATE if changed else Op.SAME, old=old, new=new, goal=goal)

    def _plan_provider(self, goal: Goal, urn: str, old: ResourceState | None) -> list[Step]:
        new = self._new_state(goal, urn, goal.inputs, old, "")
        if old is None:
            return [Step(Op.CREATE, new=new.changed(id=str(uuid.uuid4())), goal=goal)]
        if region_differs(old, new):
            new = new.changed(id=str(uuid.uuid4()))
            return self._create_then_delete(goal, old, new, Diff(True, ("region",), False))
        op = Op.SAME if settings_of(old) == settings_of(new) else Op.UPDATE
        return [Step(op, old=old, new=new, goal=goal)]

    def _plan_custom(
        self, goal: Goal, urn: str, old: ResourceState | None, reference: str
    ) -> list[Step]:
        provider = self._providers.provider(reference, goal.type)
        if goal.import_id and (old is None or not _is_import_of(old, goal.import_id)):
            return [self._plan_import(goal, urn, old, reference)]
        if old is None or old.external:
            inputs = check(provider, goal, urn, goal.inputs, {})
            return [
                Step(
                    Op.CREATE,
                    new=self._new_state(goal, urn, inputs, None, reference),
                    old=old,
                    goal=goal,
                )
            ]
        if old.pending_replacement or urn in self._deleted_first:
            return self._recreate(provider, goal, urn, old, reference)
        wanted = with_old_values(goal.inputs, old.inputs, goal.ignore_changes)
        inputs = check(provider, goal, urn, wanted, plain(old.inputs))
        new = self._new_state(goal, urn, inputs, old, reference)
        diff = self._diff(provider, old, new, goal)
        if diff.replaces:
            return self._replace(provider, goal, old, new, diff)
        if diff.changes or old.init_errors:
            return [Step(Op.UPDATE, old=old, new=new, goal=goal, diff_keys=diff.diffs)]
        return [Step(Op.SAME, old=old, new=new, goal=goal)]

    def _plan_import(self, goal: Goal, urn: str, old: ResourceState | None, reference: str) -> Step:
        if old is not None and not old.external:
            raise EngineError(
                f"{urn} is already recorded with the id '{old.id}'; to import "
                f"'{goal.import_id}' in its place, first remove it from the program"
            )
        new = self._new_state(goal, urn, goal.inputs, None, reference)
        return Step(Op.IMPORT, old=old, new=new.changed(import_id=goal.import_id), goal=goal)

    def _diff(self, provider: Provider, old: ResourceState, new: ResourceState, goal: Goal) -> Diff:
        old_provider = self._providers.state(old.provider)
        new_provider = self._providers.state(new.provider)
        if old.provider != new.provider and region_differs(old_provider, new_provider):
            return Diff(True, ("provider",), False, ("provider",))
        return provider.diff(
            old.type,
            old.id,
            plain(old.inputs),
            plain(old.outputs),
            plain(new.inputs),
            goal.ignore_changes,
        )

    def _recreate(
        self, provider: Provider, goal: Goal, urn: str, old: ResourceState, reference: str
    ) -> list[Step]:
        """The old resource was deleted already, by this update or by one that was interrupted."""
        inputs = check(provider, goal, urn, goal.inputs, {})
        new = self._new_state(goal, urn, inputs, None, reference)
        keys = self._deleted_first.get(urn, ())
        return [
            Step(Op.REPLACE, old, new, goal, keys, keys, delete_first=True),
            Step(Op.CREATE_REPLACEMENT, old, new, goal, keys, keys, delete_first=True),
        ]

    def _replace(
        self, provider: Provider, goal: Goal, old: ResourceState, new: ResourceState, diff: Diff
    ) -> list[Step]:
        _refuse_protected_replacement(old, new)
        if goal.import_id:
            raise EngineError(
                f"{new.urn} is imported and may not be replaced: {', '.join(diff.replaces)} "
                "would change; make the program agree with the resource"
            )
        # Generated names are not carried over to a new resource.
        inputs = check(provider, goal, new.urn, goal.inputs, {})
        new = new.changed(inputs=inputs, id="", outputs={}, created="")
        delete_first = diff.delete_before_replace
        if goal.delete_before_replace is not None:
            delete_first = goal.delete_before_replace
        if delete_first:
            return self._delete_then_create(goal, old, new, diff)
        return self._create_then_delete(goal, old, new, diff)

    def _create_then_delete(
        self, goal: Goal, old: ResourceState, new: ResourceState, diff: Diff
    ) -> list[Step]:
        keys = diff.replaces, diff.diffs or diff.replaces
        self.replaced.add(old)
        return [
            Step(Op.CREATE_REPLACEMENT, old, new, goal, *keys),
            Step(Op.REPLACE, old, new, goal, *keys),
        ]

    def _delete_then_create(
        self, goal: Goal, old: ResourceState, new: ResourceState, diff: Diff
    ) -> list[Step]:
        steps = [
            Step(Op.DELETE_REPLACED, old=dependent, delete_first=True)
            for dependent in reversed(self._replaced_with(old))
        ]
        keys = diff.replaces, diff.diffs or diff.replaces
        steps.append(Step(Op.DELETE_REPLACED, old=old, delete_first=True))
        steps.append(Step(Op.REPLACE, old, new, goal, *keys, delete_first=True))
        steps.append(Step(Op.CREATE_REPLACEMENT, old, new, goal, *keys, delete_first=True))
        return steps

    def _replaced_with(self, root: ResourceState) -> list[ResourceState]:
        """Resources that must be deleted before ``root`` is: those that a new ``root`` replaces."""
        replaced = {root.urn}
        dependents: list[ResourceState] = []
        for state in self.base:
            if state.urn in self._seen or state.delete or state.pending_replacement:
                continue
            keys = self._keys_replaced_by(state, replaced)
            if keys and state.urn not in self._deleted_first:
                _refuse_protected_dependent(state, root)
                self._deleted_first[state.urn] = keys
                replaced.add(state.urn)
                dependents.append(state)
        return dependents

    def _keys_replaced_by(self, state: ResourceState, replaced: set[str]) -> tuple[str, ...]:
        if not state.custom or state.external or is_provider_type(state.type):
            return ()
        touched = {
            key for key, urns in state.property_dependencies.items() if replaced.intersection(urns)
        }
        if not touched:
            return ()
        news: Properties = {
            key: UNKNOWN if key in touched else value for key, value in plain(state.inputs).items()
        }
        provider = self._providers.provider(state.provider, state.type)
        inputs, outputs = plain(state.inputs), plain(state.outputs)
        diff = provider.diff(state.type, state.id, inputs, outputs, news, state.ignore_changes)
        return diff.replaces

    def _new_state(
        self,
        goal: Goal,
        urn: str,
        inputs: Properties,
        old: ResourceState | None,
        provider: str,
    ) -> ResourceState:
        parent = self._parents.get(goal.parent)
        return ResourceState(
            urn=urn,
            type=goal.type,
            custom=goal.custom,
            id=old.id if old else "",
            inputs=inputs,
            outputs=old.outputs if old else {},
            parent=goal.parent,
            provider=provider,
            dependencies=goal.dependencies,
            property_dependencies=goal.property_dependencies,
            protect=_inherited(goal.protect, parent.protect if parent else False),
            retain_on_delete=_inherited(
                goal.retain_on_delete, parent.retain_on_delete if parent else False
            ),
            additional_secret_outputs=goal.additional_secret_outputs,
            import_id=goal.import_id,
            custom_timeouts=goal.custom_timeouts,
            ignore_changes=goal.ignore_changes,
            created=old.created if old else "",
            modified=old.modified if old else "",
        )


def check(
    provider: Provider, goal: Goal, urn: str, inputs: Properties, olds: Properties
) -> Properties:
    """Let a provider complete inputs. Raises CheckFailedError."""
    checked, failures = provider.check(goal.type, plain(inputs), olds, urn=urn)
    if failures:
        raise CheckFailedError(urn, failures)
    return with_secrets_of(checked, inputs)


def deletion_step(state: ResourceState) -> Step:
    """The step that takes a recorded resource away."""
    return Step(Op.DISCARD if state.external else Op.DELETE, old=state)


def _is_import_of(old: ResourceState, import_id: str) -> bool:
    return not old.external and import_id in (old.id, old.import_id)


def _inherited(own: bool | None, parents: bool) -> bool:
    return parents if own is None else own


def _refuse_protected_replacement(old: ResourceState, new: ResourceState) -> None:
    if old.protect and new.protect:
        raise EngineError(
            f"unable to replace resource '{new.urn}' as it is currently marked for protection. To "
            "unprotect the resource, remove the `protect` flag from the resource in your program "
            "and run `up`"
        )


def _refuse_protected_dependent(state: ResourceState, root: ResourceState) -> None:
    if state.protect:
        raise EngineError(
            f"unable to replace resource '{state.urn}' as part of replacing '{root.urn}' as it is "
            "currently marked for protection. To unprotect the resource, remove the `protect` flag "
            "from the resource in your program and run `up`"
        )
