"""The wish to change a client's keys, as rows: rotate, apply what is due, repair.

Each `begin_…` works in the caller's transaction, with the client's row locked, and returns the
operation; the caller commits and tells the dispatcher. Nothing here talks to AWS.
"""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, ClientState
from models.operations import Operation, OperationKind, OperationState, Priority
from service import problems
from service.intents import (
    begin_operation,
    closed,
    keys_of,
    latest_operation,
    links_of,
    next_generation,
    refuse_unfinished,
)
from service.machine import refuse_unfit
from service.problems import Problem
from service.rotation.endings import delete, turn_off_all
from service.settings import Settings
from service.wishes import Requester

WITH_AREA = (ClientState.open, ClientState.suspended)
_MAKE_KEYS = (OperationKind.rotate, OperationKind.repair)
"""What makes a further key for an area that is open."""


def begin_rotate(
    session: Session,
    settings: Settings,
    client: Client,
    requester: Requester,
    *,
    overlap_days: int,
    now: bool = False,
    reason: str | None = None,
) -> Operation:
    """Write the wish for a second key that replaces those there are; raises a 409 Problem,
    and a 503 one on a machine that can make no key.

    With `now` the keys there are stop to be wished active here already, for good; the caller cuts
    them by direct calls after the commit. Else they work on for the overlap. Refused without `now`
    are a suspended client, whose keys do not work anyway, and one with a rotation in its overlap:
    AWS allows a user two keys, and the older may be the one in use. With `now` a sick machine
    refuses nothing: the cut can't wait, the new key does (see `service.worker.changing.apply`).
    """
    refuse_unfinished(session, client)
    keys = keys_of(session, client)
    refuse_rotation(settings, client, keys, now=now)
    _forget_given_up(session, client, keys)
    if now:
        turn_off_all(keys, utc_now())
    planned = plan_next_key(session, client, keys)
    parameters = planned | {"overlap_days": overlap_days, "now": now}
    priority = Priority.urgent if now else Priority.normal
    kind = OperationKind.rotate
    return begin_operation(
        session, client, kind, requester, parameters, reason=reason, priority=priority
    )


def refuse_rotation(
    settings: Settings, client: Client, keys: Sequence[AccessKey], *, now: bool
) -> None:
    """Raise the Problem that says why the client's key can't be rotated now, if there is one."""
    _refuse_without_area(client)
    if not now:
        _refuse_suspended(client)
        _refuse_in_overlap(client, keys)
        refuse_unfit(settings)


def begin_repair(
    session: Session, client: Client, requester: Requester, *, reason: str | None = None
) -> Operation:
    """Write the wish to make AWS again what the records say; raises a 409 Problem.

    Not refused on a sick machine, as it may narrow what drifted; a key that it finds to be gone
    gets its successor when the machine is fit.
    """
    refuse_unfinished(session, client)
    _refuse_without_area(client)
    _forget_given_up(session, client, keys_of(session, client))
    return begin_operation(session, client, OperationKind.repair, requester, {}, reason=reason)


def begin_update(
    session: Session,
    client: Client,
    requester: Requester,
    *,
    turn_off: Sequence[AccessKey] = (),
    delete: Sequence[AccessKey] = (),
    forget: Sequence[AccessKey] = (),
) -> Operation:
    """Write the wish that keys whose time has come are off, gone, or their secrets forgotten.

    Where a closing or an opening failed a key can only be turned off. Raises a 409 Problem.
    """
    refuse_unfinished(session, client)
    if client.state is not ClientState.failed or delete or forget:
        _refuse_without_area(client)
    _forget_given_up(session, client, keys_of(session, client))
    parameters = {
        "turn_off": [key.id for key in turn_off],
        "delete": [key.id for key in delete],
        "forget": [key.id for key in forget],
    }
    return begin_operation(session, client, OperationKind.update, requester, parameters)


def plan_next_key(session: Session, client: Client, keys: Sequence[AccessKey]) -> dict[str, Any]:
    """Plan the key of the next generation beside those there are; return the parameters for it."""
    key = AccessKey(client_id=client.id, generation=next_generation(keys))
    session.add(key)
    return {"access_key_row_id": key.id, "generation": key.generation}


def _forget_given_up(session: Session, client: Client, keys: Sequence[AccessKey]) -> None:
    """Wish that the key is gone which the client's last operation was given up over.

    Nobody has it, only a retry goes on with it, and what begins now is none: beside it AWS would
    have no room for a successor of the key in use.
    """
    last = latest_operation(session, client)
    if last is None or last.state is not OperationState.failed or last.kind not in _MAKE_KEYS:
        return
    for key in keys:
        if key.id == last.parameters.get("access_key_row_id"):
            delete(key, utc_now())


def _refuse_without_area(client: Client) -> None:
    if client.state is ClientState.closed:
        raise closed(client)
    if client.state not in WITH_AREA:
        raise Problem(
            problems.CLIENT_NOT_OPEN,
            f"The client {client.slug} is {client.state.value}: it has no area to work on.",
            members={"links": links_of(client)},
        )


def _refuse_suspended(client: Client) -> None:
    if client.suspended_at is not None:
        raise Problem(
            problems.CLIENT_SUSPENDED,
            f"The client {client.slug} is suspended: an overlap of keys that do not work is none.",
            members={"links": links_of(client) | {"resume": f"/v1/clients/{client.slug}/resume"}},
        )


def _refuse_in_overlap(client: Client, keys: Sequence[AccessKey]) -> None:
    ends = [
        key.turn_off_at
        for key in keys
        if key.turn_off_at is not None and key.status is AccessKeyStatus.active
    ]
    if ends:
        raise Problem(
            problems.ROTATION_IN_OVERLAP,
            f"The last rotation of {client.slug} is in its overlap until "
            f"{max(ends).isoformat(timespec='minutes')}: its old key still works.",
            members={"links": links_of(client), "until": max(ends).isoformat()},
        )
