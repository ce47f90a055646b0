"""What AWS and the records can disagree on, and what is done about each."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """One way in which AWS and the records disagree."""

    user_without_client = "user_without_client"
    user_left = "user_left"
    user_missing = "user_missing"
    user_not_ours = "user_not_ours"
    key_unknown = "key_unknown"
    key_missing = "key_missing"
    key_not_off = "key_not_off"
    key_not_on = "key_not_on"
    suspension_unrecorded = "suspension_unrecorded"
    suspension_missing = "suspension_missing"
    policy_differs = "policy_differs"
    policy_foreign = "policy_foreign"
    group_differs = "group_differs"
    boundary_differs = "boundary_differs"
    placeholder_missing = "placeholder_missing"
    placeholder_left = "placeholder_left"
    stack_without_client = "stack_without_client"
    stack_left = "stack_left"
    stack_missing = "stack_missing"


class Remedy(StrEnum):
    """What mending does about a finding: always the way that leaves less access, never more."""

    none = "none"
    cut = "cut"
    delete_key = "delete_key"
    note_key = "note_key"
    note_suspension = "note_suspension"
    remove_policy = "remove_policy"
    remove = "remove"
    close = "close"
    repair = "repair"


REMEDIES = {
    FindingKind.user_without_client: Remedy.remove,
    FindingKind.user_left: Remedy.remove,
    # Closed after the backup that was restored, or taken away by hand: a repair would give access
    # to somebody from whom it may have been taken on purpose.
    FindingKind.user_missing: Remedy.close,
    FindingKind.user_not_ours: Remedy.none,
    FindingKind.key_unknown: Remedy.delete_key,
    FindingKind.key_missing: Remedy.repair,
    FindingKind.key_not_off: Remedy.cut,
    # Somebody cut it, perhaps while the database was away: the records follow.
    FindingKind.key_not_on: Remedy.note_key,
    FindingKind.suspension_unrecorded: Remedy.note_suspension,
    FindingKind.suspension_missing: Remedy.cut,
    FindingKind.policy_differs: Remedy.repair,
    FindingKind.policy_foreign: Remedy.remove_policy,
    FindingKind.group_differs: Remedy.repair,
    FindingKind.boundary_differs: Remedy.repair,
    FindingKind.placeholder_missing: Remedy.repair,
    FindingKind.placeholder_left: Remedy.remove,
    FindingKind.stack_without_client: Remedy.remove,
    FindingKind.stack_left: Remedy.remove,
    FindingKind.stack_missing: Remedy.repair,
}
"""What mending does about each kind, unless the finding itself says `none`."""


@dataclass(frozen=True, order=True)
class Finding:
    """One disagreement, told in a sentence without secrets.

    `slug` is the area's, or the name of a stray user or stack; `subject` is the id of the key or
    the name of the policy that it is about; `client_id` is what our tag says, where there is one.
    """

    slug: str
    kind: FindingKind
    detail: str
    subject: str = ""
    client_id: str = ""
    remedy: Remedy = Remedy.none


def finding(
    kind: FindingKind, slug: str, detail: str, *, client_id: str = "", subject: str = ""
) -> Finding:
    """Return a finding with the remedy of its kind."""
    return Finding(slug, kind, detail, subject, client_id, REMEDIES[kind])
