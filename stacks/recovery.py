"""Putting a half-made area right, before every up and destroy, on either engine.

An engine that died leaves pending operations: it asked AWS for something and never wrote down the
answer. The official program keeps such entries and, on the next `up`, collides with what it made
or makes a second key. So what is half-made and ours is deleted and the entries are cleared;
nothing is ever adopted, and what does not carry our tag is never touched.
"""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stacks.access import AreaAccess
from stacks.automation import Stacks
from stacks.backend import Deployment
from stacks.client import AreaInputs, ClientProgram
from stacks.failures import LOCKED, CollisionError, Failure, StackError

_USER = "aws:iam/user:User"
_KEY = "aws:iam/accessKey:AccessKey"
_OBJECTS = ("aws:s3/bucketObjectv2:BucketObjectv2", "aws:s3/bucketObject:BucketObject")
_BEGUN = ("creating", "importing")

RECOVERIES = 3
"""How often an update that failed half-way is put right and tried again at once."""

Outcome = TypeVar("Outcome")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Recovered:
    """What recovery did, in words for the operation's log; empty when nothing was half-made."""

    actions: tuple[str, ...] = ()
    user_is_ours: bool = False


def update_and_recover(
    recover_now: Callable[[], Recovered], update: Callable[[], Outcome], access: AreaAccess
) -> tuple[Recovered, Outcome]:
    """Recover and update; again where a lost answer made the update fail and recovery found why.

    A creation whose answer is lost, asked for again, collides with what the first one made.
    Recovery tells that from a stranger's by our tag: it deletes ours, and raises `CollisionError`
    for a stranger's. A name may also be taken, for some seconds, by what was deleted just before.
    """
    recovered, deadline = recover_now(), time.monotonic() + access.settling.patience
    for attempt in itertools.count(1):
        try:
            return recovered, update()
        except StackError as error:
            if error.failure.code == LOCKED:
                # What is half-made may be what the one who holds the stack is making.
                raise
            taken = error.failure.code == "EntityAlreadyExists"
            if not (taken or error.failure.transient):
                raise
            found = recover_now()
            helped = bool(found.actions) and attempt <= RECOVERIES
            if not helped and not (taken and time.monotonic() < deadline):
                raise
            recovered = Recovered(recovered.actions + found.actions, found.user_is_ours)
        time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))  # noqa: S311  # jitter
    raise AssertionError("unreachable: the loop has no end")


def recover(
    stacks: Stacks, access: AreaAccess, area: AreaInputs, *, closing: bool = False
) -> Recovered:
    """Delete what is half-made and ours, clear pending operations; return what was done.

    Raises `CollisionError` when the user's name is taken by something that is not ours, unless
    ``closing``: a teardown passes a stranger by. Raises `StackError` when somebody's update is at
    work on the stack, as what it makes looks half-made.
    """
    program = ClientProgram(area)
    stacks.wait_for_survivors(program)
    stacks.refuse_held(program)
    state = stacks.export(program)
    actions: list[str] = []
    owner = _owner(access, area, state)
    # A user that the stack made stays ours even when someone took our tag away.
    made_by_stack = state is not None and _holds(state, _USER)
    ours = owner is not None and (owner == area.client_id or made_by_stack)
    if owner is not None and not ours and not closing:
        raise _collision(area)
    if ours:
        actions += _recover_user(access, area, state)
    if state is not None and state.pending_operations():
        actions += _recover_objects(access, area, state)
        stacks.import_(program, state.without_pending_operations())
        actions.append("cleared pending operations of the stack")
    return Recovered(tuple(actions), user_is_ours=ours)


def known_key_ids(stacks: Stacks, area: AreaInputs) -> set[str]:
    """Return the ids of the keys that the area's stack knows; none without a stack."""
    state = stacks.export(ClientProgram(area))
    return _key_ids(state) if state is not None else set()


def keys_off_in_state(stacks: Stacks, area: AreaInputs) -> set[int]:
    """Return the generations of the keys that the area's stack holds as off."""
    state = stacks.export(ClientProgram(area))
    off = {
        str(resource["urn"]).rpartition("::")[2]
        for resource in (state.resources() if state is not None else [])
        if resource["type"] == _KEY and (resource.get("outputs") or {}).get("status") == "Inactive"
    }
    return {key.generation for key in area.keys if key.logical_name in off}


def _collision(area: AreaInputs) -> CollisionError:
    sentence = (
        f"IAM has a user {area.user_name} already that this service did not make for this "
        "client. Nothing of it was touched. Rename or remove it, or open the client under "
        "another slug."
    )
    return CollisionError(area.slug, Failure("EntityAlreadyExists", sentence))


def _recover_user(access: AreaAccess, area: AreaInputs, state: Deployment | None) -> list[str]:
    if state is None or not _holds(state, _USER):
        access.delete_user(area)
        return [f"deleted the half-made user {area.user_name}"]
    known = _key_ids(state)
    unknown = _sought(
        access,
        lambda: [key_id for key_id in access.key_ids(area.user_name) if key_id not in known],
        patiently=_begun(state, _KEY),
    )
    for key_id in unknown:
        access.delete_key(area.user_name, key_id)
    return [f"deleted the key {key_id}, which no record knows" for key_id in unknown]


def _recover_objects(access: AreaAccess, area: AreaInputs, state: Deployment) -> list[str]:
    if not _begun(state, *_OBJECTS):
        return []
    access.delete_placeholder(area)
    return [f"deleted the half-made placeholder {area.placeholder_key}"]


def _owner(access: AreaAccess, area: AreaInputs, state: Deployment | None) -> str | None:
    found = _sought(
        access,
        lambda: [it for it in [access.owner_of(area.user_name)] if it is not None],
        patiently=state is not None and _begun(state, _USER),
    )
    return found[0] if found else None


def _sought(access: AreaAccess, look: Callable[[], list[Found]], *, patiently: bool) -> list[Found]:
    """Look, and again where something may have been made so lately that IAM does not tell yet."""
    for last in access.settling.looks():
        found = look()
        if found or last or not patiently:
            return found
    raise AssertionError("unreachable: the last look returns")


def _begun(state: Deployment, *types: str) -> bool:
    return any(
        operation.get("type") in _BEGUN and operation["resource"]["type"] in types
        for operation in state.pending_operations()
    )


def _key_ids(state: Deployment) -> set[str]:
    keys = [resource for resource in state.resources() if resource["type"] == _KEY]
    return {str(key["id"]) for key in keys if key.get("id")}


def _holds(state: Deployment, type_: str) -> bool:
    return any(resource["type"] == type_ for resource in state.resources())
