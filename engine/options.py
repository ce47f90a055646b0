"""What an update is asked for: its kind, and the flags of its command line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_DEFAULT_PARALLEL = 16


class Kind(StrEnum):
    """Kinds of updates, as history names them."""

    UPDATE = "update"
    REFRESH = "refresh"
    DESTROY = "destroy"


_HEADINGS = {
    (Kind.UPDATE, False): "Updating",
    (Kind.UPDATE, True): "Previewing update",
    (Kind.REFRESH, False): "Refreshing",
    (Kind.REFRESH, True): "Previewing refresh",
    (Kind.DESTROY, False): "Destroying",
    (Kind.DESTROY, True): "Previewing destroy",
}


def heading(kind: Kind, *, dry_run: bool) -> str:
    """What the display says that an update does."""
    return _HEADINGS[kind, dry_run]


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """Flags of a command line, by the names they have there."""

    dry_run: bool = False
    parallel: int = _DEFAULT_PARALLEL
    message: str = ""
    expect_no_changes: bool = False
    refresh: bool = False
    exclude_protected: bool = False
    clear_pending_creates: bool = False
    run_program: bool = False
    suppress_outputs: bool = False
    debug: bool = False
    client: str = ""
    event_log: str = ""
    exec_kind: str = ""
