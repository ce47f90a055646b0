"""What the engine records about resources: states, pending operations, snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from engine.provider import Properties
from engine.urn import ROOT_STACK_TYPE, split_provider_reference


@dataclass(frozen=True, slots=True, eq=False)
class ResourceState:
    """One resource as recorded. Compared by identity: two states may share a URN while one
    replaces the other. Field names follow Pulumi's checkpoint (apitype.ResourceV3)."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    delete: bool = False
    external: bool = False
    init_errors: tuple[str, ...] = ()
    pending_replacement: bool = False
    additional_secret_outputs: tuple[str, ...] = ()
    import_id: str = ""
    retain_on_delete: bool = False
    custom_timeouts: Mapping[str, float] = field(default_factory=dict)
    ignore_changes: tuple[str, ...] = ()
    created: str = ""
    modified: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that the official program recorded and this engine carries along."""

    def changed(self, **fields: Any) -> ResourceState:
        """A copy with some fields changed."""
        return replace(self, **fields)

    def timeout(self, operation: str) -> float | None:
        """The custom time limit of ``create``, ``update`` or ``delete`` in seconds."""
        return self.custom_timeouts.get(operation)

    def references(self) -> set[str]:
        """URNs of everything that must exist before this resource does."""
        urns = {*self.dependencies}
        for property_urns in self.property_dependencies.values():
            urns.update(property_urns)
        if self.parent:
            urns.add(self.parent)
        if self.provider:
            urns.add(split_provider_reference(self.provider)[0])
        return urns


@dataclass(frozen=True, slots=True, eq=False)
class PendingOperation:
    """An act that was begun: its outcome is not recorded (yet).

    ``type`` is ``creating``, ``updating``, ``deleting``, ``reading`` or ``importing``.
    """

    type: str
    resource: ResourceState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything recorded about a stack, in dependency order."""

    resources: tuple[ResourceState, ...] = ()
    pending_operations: tuple[PendingOperation, ...] = ()
    manifest_time: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def root_outputs(self) -> Properties:
        """Outputs of the stack; empty before the first update."""
        for resource in self.resources:
            if resource.type == ROOT_STACK_TYPE and not resource.parent:
                return resource.outputs
        return {}


def timestamp() -> str:
    """The present instant as checkpoints write it (RFC 3339, UTC)."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
