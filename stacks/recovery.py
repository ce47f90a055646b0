"""Putting a half-made area right, before every up and destroy, on either engine.

An engine that died leaves pending operations: it asked AWS for something and never wrote down the
answer. The official program keeps such entries and, on the next `up`, collides with what it made
or makes a second key. So what is half-made and ours is deleted and the entries are cleared;
nothing is ever adopted, and what does not carry our tag is never touched.
"""

from dataclasses import dataclass

from stacks.access import AreaAccess
from stacks.automation import Deployment, Stacks
from stacks.client import AreaInputs, ClientProgram
from stacks.failures import CollisionError, Failure

_USER = "aws:iam/user:User"
_KEY = "aws:iam/accessKey:AccessKey"
_OBJECTS = ("aws:s3/bucketObjectv2:BucketObjectv2", "aws:s3/bucketObject:BucketObject")
_BEGUN = ("creating", "importing")


@dataclass(frozen=True)
class Recovered:
    """What recovery did, in words for the operation's log; empty when nothing was half-made."""

    actions: tuple[str, ...] = ()
    user_is_ours: bool = False


def recover(
    stacks: Stacks, access: AreaAccess, area: AreaInputs, *, closing: bool = False
) -> Recovered:
    """Delete what is half-made and ours, clear pending operations; return what was done.

    Raises `CollisionError` when the user's name is taken by something that is not ours, unless
    ``closing``: a teardown passes a stranger by.
    """
    program = ClientProgram(area)
    state = stacks.export(program)
    actions: list[str] = []
    owner = access.owner_of(area.user_name)
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
    known = {resource.get("id") for resource in state.resources() if resource["type"] == _KEY}
    unknown = [key_id for key_id in access.key_ids(area.user_name) if key_id not in known]
    for key_id in unknown:
        access.delete_key(area.user_name, key_id)
    return [f"deleted the key {key_id}, which no record knows" for key_id in unknown]


def _recover_objects(access: AreaAccess, area: AreaInputs, state: Deployment) -> list[str]:
    begun = [
        operation["resource"]
        for operation in state.pending_operations()
        if operation.get("type") in _BEGUN
    ]
    if not any(resource["type"] in _OBJECTS for resource in begun):
        return []
    access.delete_placeholder(area)
    return [f"deleted the half-made placeholder {area.placeholder_key}"]


def _holds(state: Deployment, type_: str) -> bool:
    return any(resource["type"] == type_ for resource in state.resources())
