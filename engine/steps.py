"""Steps: what is to be done to one resource. Names as in Pulumi's engine (deploy.StepOp)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.goal import Goal
from engine.state import ResourceState
from engine.urn import parse_urn


class Op(StrEnum):
    """Kinds of steps."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    READ = "read"
    REFRESH = "refresh"
    DISCARD = "discard"
    REMOVE_PENDING_REPLACE = "remove-pending-replace"
    IMPORT = "import"


# Parts of a replacement: the step "replace" stands for them in counts.
_PHYSICAL = {Op.CREATE_REPLACEMENT, Op.DELETE_REPLACED, Op.REMOVE_PENDING_REPLACE}


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``old`` is the state it starts from, ``new`` the state it aims at.

    ``replace_keys`` and ``diff_keys`` name the properties that ask for it. ``delete_first`` marks
    the steps of a replacement that deletes before it creates.
    """

    op: Op
    old: ResourceState | None = None
    new: ResourceState | None = None
    goal: Goal | None = None
    replace_keys: tuple[str, ...] = ()
    diff_keys: tuple[str, ...] = ()
    delete_first: bool = False

    @property
    def state(self) -> ResourceState:
        """The new state, or the old one of a resource that goes."""
        state = self.new or self.old
        if state is None:
            raise ValueError("a step has a state")
        return state

    @property
    def urn(self) -> str:
        """Name of the resource."""
        return self.state.urn

    @property
    def counted(self) -> bool:
        """Whether the step appears in the summary of changes."""
        return self.op not in _PHYSICAL and self.op is not Op.READ


_DOING = {
    Op.CREATE: "creating",
    Op.CREATE_REPLACEMENT: "creating",
    Op.UPDATE: "updating",
    Op.DELETE: "deleting",
    Op.DELETE_REPLACED: "deleting",
    Op.READ: "reading",
    Op.REFRESH: "reading",
    Op.IMPORT: "importing",
}


def failure_message(step: Step, error: object) -> str:
    """What a step that failed was doing, to which resource, and why it failed."""
    parts = parse_urn(step.urn)
    doing = _DOING.get(step.op, step.op.value)
    return f"{doing} {parts.type} '{parts.name}' ({step.urn}) failed: {error}"
