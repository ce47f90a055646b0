"""The engine's events as the few facts that a caller wants to see (progress, plans, drift)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

PROVIDER_TYPE_PREFIX = "pulumi:"
"""Types of the engine itself (stack, providers), which are nothing in AWS."""

Phase = Literal["started", "done", "failed"]


@dataclass(frozen=True)
class ResourceProgress:
    """One resource began, ended or failed an operation such as ``create`` or ``delete``."""

    phase: Phase
    operation: str
    type: str
    name: str
    urn: str
    changed_properties: tuple[str, ...] = ()

    def short_type(self) -> str:
        """Return the type as people call it: ``aws:iam/user:User`` → ``User``."""
        return self.type.rsplit(":", 1)[-1]


OnProgress = Callable[[ResourceProgress], None]


def ignore_progress(progress: ResourceProgress) -> None:
    """Do nothing with a progress event."""


def is_of_aws(type_: str) -> bool:
    """Tell whether a resource type stands for something in AWS."""
    return not type_.startswith(PROVIDER_TYPE_PREFIX)


@dataclass(frozen=True)
class PlannedChange:
    """What an update would do to one resource."""

    operation: str
    type: str
    name: str
    urn: str


@dataclass(frozen=True)
class Drift:
    """A resource whose state in AWS is not what the stack says."""

    kind: Literal["changed", "missing"]
    type: str
    name: str
    urn: str
    properties: tuple[str, ...] = ()


@dataclass
class EventLog:
    """Collects the events of one run and passes progress on as it happens."""

    on_progress: OnProgress = ignore_progress
    progress: list[ResourceProgress] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    begun: bool = False
    """Whether the engine told of anything yet."""

    def add(self, progress: ResourceProgress) -> None:
        """Keep one resource event and tell the listener."""
        if is_of_aws(progress.type):
            self.progress.append(progress)
            self.on_progress(progress)

    def planned(self) -> list[PlannedChange]:
        """Return the changes that a preview announced, without what stays the same."""
        return [
            PlannedChange(p.operation, p.type, p.name, p.urn)
            for p in self.progress
            if p.phase == "started" and p.operation not in ("same", "read")
        ]

    def drift(self) -> list[Drift]:
        """Return the differences that a refresh preview found."""
        return [
            Drift(
                "missing" if p.operation == "delete" else "changed",
                p.type,
                p.name,
                p.urn,
                p.changed_properties,
            )
            for p in self.progress
            if p.phase == "done" and p.operation in ("update", "delete")
        ]
