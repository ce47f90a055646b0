"""Engine events: what the Automation API's ``on_event`` sees and the display prints.

Shapes: github.com/pulumi/pulumi, sdk/go/common/apitype/events.go.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.properties import MASK, masked, secret_strings
from engine.state import ResourceState
from engine.steps import Op, Step
from engine.urn import is_default_provider

Event = dict[str, Any]
Sink = Callable[[Event], None]
_SHORTEST_REDACTED = 6


class Reporter:
    """Numbers events and hands them, one at a time and in order, to every sink.

    Also counts changes and collects errors. Known secrets are kept out of every message.
    """

    def __init__(self, sinks: Iterable[Sink], *, planning: bool, debug: bool = False) -> None:
        self.planning = planning
        self.changes: Counter[str] = Counter()
        self.errors: list[str] = []
        self._sinks = tuple(sinks)
        self.debugging = debug
        self._sequence = 0
        self._secrets: set[str] = set()
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def keep_secret(self, values: Any) -> None:
        """Remember the secrets in property values, so that no message shows them."""
        found = [text for text in secret_strings(values) if len(text) >= _SHORTEST_REDACTED]
        if found:
            with self._lock:
                self._secrets.update(found)

    def redacted(self, text: str) -> str:
        """A text without known secrets."""
        with self._lock:
            secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text

    def prelude(self, config: Mapping[str, str]) -> None:
        """The update begins, with this configuration (secrets masked)."""
        self._emit({"preludeEvent": {"config": dict(config)}})

    def begun(self, step: Step) -> None:
        """A step begins."""
        if not _internal(step):
            event = {"metadata": step_metadata(step, step.op, step.new)}
            self._emit({"resourcePreEvent": self._planned(event)})

    def done(self, step: Step, new: ResourceState | None, op: Op | None = None) -> None:
        """A step ended well; ``op`` is what a refresh turned out to be."""
        if _internal(step):
            return
        result = op or step.op
        if step.counted:
            with self._lock:
                self.changes[result] += 1
        event = {"metadata": step_metadata(step, result, new)}
        self._emit({"resOutputsEvent": self._planned(event)})

    def outputs(self, state: ResourceState) -> None:
        """A component registered its outputs."""
        step = Step(Op.SAME, old=state, new=state)
        event = {"metadata": step_metadata(step, Op.SAME, state)}
        self._emit({"resOutputsEvent": self._planned(event)})

    def failed(self, step: Step, message: str) -> None:
        """A step failed."""
        self.error(message, step.urn)
        event = {"metadata": step_metadata(step, step.op, step.new), "status": 0, "steps": 0}
        self._emit({"resOpFailedEvent": event})

    def error(self, message: str, urn: str = "") -> None:
        """Something failed; the update will not succeed."""
        text = self.redacted(message)
        with self._lock:
            self.errors.append(text)
        self._diagnostic("error", text, urn)

    def warning(self, message: str, urn: str = "") -> None:
        """Something deserves attention."""
        self._diagnostic("warning", self.redacted(message), urn)

    def log(self, severity: str, message: str, urn: str = "", *, ephemeral: bool = False) -> None:
        """A message of the program."""
        if severity == "error":
            self.error(message, urn)
        else:
            self._diagnostic(severity, self.redacted(message), urn, ephemeral=ephemeral)

    def summary(self) -> None:
        """The update ends."""
        event = {
            "maybeCorrupt": False,
            "durationSeconds": int(time.monotonic() - self._started) + 1,
            "resourceChanges": dict(self.changes),
            "PolicyPacks": {},
            "isPreview": self.planning,
            "result": "failed" if self.errors else "succeeded",
        }
        self._emit({"summaryEvent": event})

    def end(self) -> None:
        """No event follows."""
        self._emit({"cancelEvent": {}})

    def _planned(self, event: Event) -> Event:
        return {**event, "planning": True} if self.planning else event

    def _diagnostic(
        self, severity: str, message: str, urn: str, *, ephemeral: bool = False
    ) -> None:
        event: Event = {
            "message": message if message.endswith("\n") else f"{message}\n",
            "prefix": f"{severity}: " if severity != "info" else "",
            "color": "never",
            "severity": severity,
        }
        if urn:
            event["urn"] = urn
        if ephemeral:
            event["ephemeral"] = True
        self._emit({"diagnosticEvent": event})

    def _emit(self, event: Event) -> None:
        with self._lock:
            numbered = {"sequence": self._sequence, "timestamp": int(time.time()), **event}
            self._sequence += 1
            for sink in self._sinks:
                sink(numbered)


def _internal(step: Step) -> bool:
    """Default providers are the engine's own business."""
    return step.op is Op.REMOVE_PENDING_REPLACE or is_default_provider(step.urn)


def step_metadata(step: Step, op: Op, new: ResourceState | None) -> Event:
    """What an event says about a step; secrets are masked."""
    state = step.state
    metadata: Event = {
        "op": op.value,
        "urn": state.urn,
        "type": state.type,
        "provider": state.provider,
        "old": _state_metadata(step.old),
        "new": _state_metadata(new),
        "detailedDiff": None,
    }
    if step.counted:
        metadata["logical"] = True
    if step.replace_keys:
        metadata["keys"] = list(step.replace_keys)
    if step.diff_keys:
        metadata["diffs"] = list(step.diff_keys)
        kind = "update-replace" if step.replace_keys else "update"
        metadata["detailedDiff"] = {
            key: {"diffKind": kind, "inputDiff": True} for key in step.diff_keys
        }
    return metadata


def _state_metadata(state: ResourceState | None) -> Event | None:
    if state is None:
        return None
    metadata: Event = {
        "type": state.type,
        "urn": state.urn,
        "id": state.id,
        "parent": state.parent,
        "provider": state.provider,
        "inputs": masked(state.inputs),
        "outputs": masked(state.outputs),
    }
    flags = {
        "custom": state.custom,
        "delete": state.delete,
        "protect": state.protect,
        "external": state.external,
        "retainOnDelete": state.retain_on_delete,
    }
    metadata.update({key: True for key, flag in flags.items() if flag})
    if state.init_errors:
        metadata["initErrors"] = list(state.init_errors)
    return metadata
