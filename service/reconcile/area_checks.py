"""One client's area: what its records say against what AWS holds."""

from collections.abc import Iterator

from service.reconcile.claims import Claim
from service.reconcile.findings import Finding, FindingKind, finding
from stacks.client import AreaInputs
from stacks.inventory import HeldUser
from stacks.policies import SUSPENSION_POLICY, area_policy, suspension_denial


def area_findings(
    claim: Claim, area: AreaInputs, user: HeldUser | None, size: int | None, *, has_stack: bool
) -> Iterator[Finding]:
    """Compare an area that the records know of; `size` is that of its placeholder object."""
    if claim.area_wished:
        yield from _around(area, size, has_stack=has_stack)
    if user is None:
        if claim.area_wished:
            yield _of(area, FindingKind.user_missing, f"IAM has no user {area.user_name}.")
        return
    if user.client_id != area.client_id:
        sentence = f"The user {user.name} does not carry our tag for this client."
        yield _of(area, FindingKind.user_not_ours, sentence)
        return
    yield from _keys(claim, area, user)
    yield from _suspension(claim, area, user)
    if claim.area_wished:
        yield from _limits(area, user)


def nothing_left(
    area: AreaInputs, user: HeldUser | None, size: int | None, *, has_stack: bool
) -> Iterator[Finding]:
    """Find what is left of an area of which, the records say, nothing is left."""
    if user is not None and user.client_id == area.client_id:
        sentence = f"The area is closed, and IAM still has its user {user.name}."
        yield _of(area, FindingKind.user_left, sentence)
    # One with content was put there by the client and stays.
    if size == 0:
        sentence = f"The area is closed, and its placeholder {area.placeholder_key} is left."
        yield _of(area, FindingKind.placeholder_left, sentence)
    if has_stack:
        sentence = "The area is closed, and the engine still has its stack."
        yield _of(area, FindingKind.stack_left, sentence)


def _around(area: AreaInputs, size: int | None, *, has_stack: bool) -> Iterator[Finding]:
    if size is None:
        sentence = f"The placeholder {area.placeholder_key} is not in the bucket."
        yield _of(area, FindingKind.placeholder_missing, sentence)
    if not has_stack:
        yield _of(area, FindingKind.stack_missing, "The engine has no stack of this name.")


def _keys(claim: Claim, area: AreaInputs, user: HeldUser) -> Iterator[Finding]:
    wished, settled = claim.wished_keys(), not (_denied(user) or claim.resuming)
    for key_id in user.keys.keys() - wished.keys():
        sentence = f"AWS has the key {key_id} of {user.name}, which no record knows."
        yield _of(area, FindingKind.key_unknown, sentence, key_id)
    for key_id, on in wished.items():
        works = user.keys.get(key_id)
        if works is None and claim.area_wished:
            sentence = f"The records say that the key {key_id} exists; AWS does not have it."
            yield _of(area, FindingKind.key_missing, sentence, key_id)
        elif works and not on:
            sentence = f"The key {key_id} should be off and works."
            yield _of(area, FindingKind.key_not_off, sentence, key_id)
        elif works is False and on and settled:
            sentence = f"The records say that the key {key_id} works; AWS has it switched off."
            yield _of(area, FindingKind.key_not_on, sentence, key_id)


def _suspension(claim: Claim, area: AreaInputs, user: HeldUser) -> Iterator[Finding]:
    denied = _denied(user)
    if denied and claim.area_wished and not (claim.suspended or claim.resuming):
        sentence = f"AWS denies the user {user.name} everything; the records know no suspension."
        yield _of(area, FindingKind.suspension_unrecorded, sentence)
    if claim.suspended and not denied:
        sentence = f"The client is suspended, and AWS does not deny {user.name} everything."
        yield _of(area, FindingKind.suspension_missing, sentence)


def _limits(area: AreaInputs, user: HeldUser) -> Iterator[Finding]:
    wanted = area_policy(area.profile, bucket=area.bucket, slug=area.slug, region=area.region)
    if user.inline.get(area.policy_name) != wanted:
        sentence = f"The inline policy {area.policy_name} is not the one of {area.profile}."
        yield _of(area, FindingKind.policy_differs, sentence)
    foreign = {*user.inline, *user.attached} - {area.policy_name, SUSPENSION_POLICY}
    for name in sorted(foreign):
        sentence = f"The user {user.name} has a policy that is not ours: {name}."
        yield _of(area, FindingKind.policy_foreign, sentence, name)
    if area.group not in user.groups:
        sentence = f"The user {user.name} is not in the group {area.group}."
        yield _of(area, FindingKind.group_differs, sentence)
    if user.boundary_arn != area.boundary_arn:
        sentence = f"The user {user.name} lacks our permissions boundary."
        yield _of(area, FindingKind.boundary_differs, sentence)


def _denied(user: HeldUser) -> bool:
    return bool(user.inline.get(SUSPENSION_POLICY) == suspension_denial())


def _of(area: AreaInputs, kind: FindingKind, detail: str, subject: str = "") -> Finding:
    return finding(kind, area.slug, detail, client_id=area.client_id, subject=subject)
