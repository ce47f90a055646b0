"""Running a program beside ``refresh`` and ``destroy`` (``--run-program``).

Nothing is made, changed or recorded for it: each resource is answered as it is recorded. What
counts is what the program says of providers, so that what follows works with their settings.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from typing_extensions import override

from engine.deployment import Deployment
from engine.errors import EngineError
from engine.goal import Goal
from engine.provider import Properties
from engine.state import ResourceState, Snapshot
from engine.urn import is_provider_type


class Replay(Deployment):
    """Answers registrations from what is recorded."""

    @override
    def register(self, goal: Goal) -> ResourceState:
        """The resource as recorded; without an id when it is not (yet) there."""
        with self._planning:
            self._require_running()
            try:
                old = self._planner.recorded_as(goal)
                reference = self._provider_reference(goal)
            except EngineError as error:
                raise self._fail(str(error), self._planner.urn_of(goal)) from error
        state = self._answer(goal, old, reference)
        self._settle(goal, state)
        return state

    def _answer(self, goal: Goal, old: ResourceState | None, reference: str) -> ResourceState:
        urn = self._planner.urn_of(goal)
        if is_provider_type(goal.type):
            known = old or ResourceState(urn, goal.type, custom=True, id=str(uuid.uuid4()))
            return known.changed(urn=urn, inputs=goal.inputs, outputs=goal.inputs)
        if old is not None:
            return old.changed(urn=urn)
        return ResourceState(
            urn, goal.type, custom=goal.custom, inputs=goal.inputs, provider=reference
        )

    @override
    def register_outputs(self, urn: str, outputs: Properties) -> None:
        """Outputs stay as they are recorded."""
        self.reporter.keep_secret(outputs)

    def snapshot(self, base: Snapshot) -> Snapshot:
        """What was recorded, with the settings that the program gives to its providers."""
        return replace(base, resources=tuple(map(self._with_settings, base.resources)))

    def _with_settings(self, state: ResourceState) -> ResourceState:
        said = self._news.get(state.urn)
        if said is None or not is_provider_type(state.type) or said.id != state.id:
            return state
        return state.changed(inputs=said.inputs, outputs=said.inputs)
