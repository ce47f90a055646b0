"""Makes AWS what is wished of a client's access, by direct calls that wait for nothing (RX-22).

The wish is committed before; whoever carries it out reads it anew, does it, and notes what AWS
has confirmed. Everything here may run twice, in two processes at once, or die in between.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, ClientState
from models.database import transaction
from service.accounts import ensure_timekeeper
from service.areas_inputs import wished_active
from service.context import Services
from service.intents import audit, keys_of
from service.suspension.proving import prove_again
from service.suspension.wishes import suspend
from service.wishes import Requester
from stacks.failures import StackError
from stacks.suspension import HeldAccess, Target

log = logging.getLogger(__name__)

FOUND_CUT = "Found cut in AWS, as `handover key off` does"
"""The reason of a suspension that AWS held and the records did not know."""


@dataclass(frozen=True)
class Confirmation:
    """What AWS has confirmed, and when it was asked."""

    client: Client
    held: HeldAccess
    at: datetime = field(default_factory=utc_now)


def carry_out(services: Services, client_id: str, *, anew: bool = False) -> Confirmation:
    """Make AWS what is wished of the client's access, and return what AWS confirms.

    A wish that changed meanwhile is carried out too: the last one wins, whoever was slower. A cut
    that was confirmed before is only looked after, unless it is to be made ``anew``: where
    something may just have undone it, AWS's own word may be too old to tell.
    Raises `StackError` when AWS refuses, is away, or does not confirm in time: the wish stays,
    and the timekeeper tries on.
    """
    client, keys = _read(services, client_id)
    target, switch = target_of(client, keys), services.areas.switch
    if client.suspended_at is not None:
        anew = anew or client.cut_at is None
        held = switch.cut(target, lambda: _is_suspended(services, client_id), anew=anew)
        noted = _note_cut(services, client_id, held)
        outdated = noted.suspended_at is None
    elif client.cut_at is not None:
        held = switch.lift(target, lambda: _wished_on(services, client_id))
        # One that was turned off for good while it was being switched on, as `rotate?now` does.
        held = cut_retired(services, client_id) or held
        prove_again(services, *_read(services, client_id))
        noted = _note_lifted(services, client_id)
        outdated = noted.suspended_at is not None
    else:
        # Of a client that is closed nothing is left to be wished, and no key may work.
        closed = client.state is ClientState.closed
        return Confirmation(client, switch.cut(target) if closed else switch.look(target))
    return carry_out(services, client_id, anew=True) if outdated else Confirmation(noted, held)


def enforce(services: Services, client_id: str, *, look: bool = False) -> bool:
    """Cut the client's access again if it is suspended; tell whether it is.

    For the end of each step that may have made or switched on a key: a wish that was committed
    while the step ran is found here, and one that is committed later finds the key in AWS. With
    `look` a cut that AWS holds and no record knows becomes a suspension. Raises `StackError`.
    """
    client, keys = _read(services, client_id)
    if client.suspended_at is None and look and client.cut_at is None:
        if not services.areas.switch.denied(target_of(client, keys)):
            return False
        _adopt(services, client_id)
    elif client.suspended_at is None:
        return False
    carry_out(services, client_id, anew=True)
    return True


def cut_retired(services: Services, client_id: str) -> HeldAccess | None:
    """Make every key inactive that is wished off for good, while the others work on; return what
    AWS confirms, or None where there is no such key.

    Raises `StackError` when AWS refuses or is away: the wish stays.
    """
    client, keys = _read(services, client_id)
    off = [
        key.access_key_id
        for key in keys
        if key.access_key_id is not None and key.status is AccessKeyStatus.inactive
    ]
    return services.areas.switch.keys_off(target_of(client, keys), off) if off else None


def settle(services: Services, client_id: str, *, look: bool = False) -> None:
    """See at the end of work that every key is off in AWS that has to be; `look` as for `enforce`.

    The engine leaves a key alone that its state has as off already, whatever AWS holds: it may
    have been switched on by a resumption since. Raises `StackError`.
    """
    if not enforce(services, client_id, look=look):
        cut_retired(services, client_id)


def enforce_or_leave(services: Services, client_id: str) -> None:
    """Do as `enforce` where work breaks off; what AWS does not confirm the timekeeper tries on."""
    leave_to_clock(services, client_id)
    try:
        enforce(services, client_id)
    except StackError as error:
        log.warning("the suspension of %s is not confirmed: %s", client_id, error.failure.code)


def leave_to_clock(services: Services, client_id: str) -> None:
    """Take a suspension for unconfirmed from now on, so that the timekeeper makes it anew."""
    with transaction(services.database) as session:
        client = session.get_one(Client, client_id, with_for_update=True)
        if client.suspended_at is not None:
            client.cut_at = None


def target_of(client: Client, keys: list[AccessKey]) -> Target:
    """Return whose access is meant, for direct calls."""
    known = tuple(
        key.access_key_id
        for key in keys
        if key.access_key_id and key.status is not AccessKeyStatus.deleted
    )
    return Target(client.id, client.slug, client.user_name, known)


def _read(services: Services, client_id: str) -> tuple[Client, list[AccessKey]]:
    with transaction(services.database, write=False) as session:
        client = session.get_one(Client, client_id)
        return client, keys_of(session, client)


def _is_suspended(services: Services, client_id: str) -> bool:
    with transaction(services.database, write=False) as session:
        return session.get_one(Client, client_id).suspended_at is not None


def _wished_on(services: Services, client_id: str) -> list[str] | None:
    """Return the ids of the keys that are to work by now; None of a client that is suspended."""
    client, keys = _read(services, client_id)
    if client.suspended_at is not None:
        return None
    return [key.access_key_id for key in keys if key.access_key_id and wished_active(client, key)]


def _note_cut(services: Services, client_id: str, held: HeldAccess) -> Client:
    """Note that AWS holds the cut, wished or not any more, and return the client."""
    with transaction(services.database) as session:
        client = session.get_one(Client, client_id, with_for_update=True)
        if client.cut_at is None:
            client.cut_at = utc_now()
            _audit(session, client, "client.access_cut", held)
    return client


def _note_lifted(services: Services, client_id: str) -> Client:
    """Note that AWS holds no cut any more, unless it was wished again; return the client."""
    with transaction(services.database) as session:
        client = session.get_one(Client, client_id, with_for_update=True)
        if client.suspended_at is None and client.cut_at is not None:
            client.cut_at = None
            _audit(session, client, "client.access_given_back", None)
    return client


def _adopt(services: Services, client_id: str) -> None:
    log.warning("client %s is cut in AWS and the records did not know it: suspended", client_id)
    with transaction(services.database) as session:
        client = session.get_one(Client, client_id, with_for_update=True)
        requester = Requester(ensure_timekeeper(session).id)
        suspend(session, client, FOUND_CUT, requester)


def _audit(session: Session, client: Client, action: str, held: HeldAccess | None) -> None:
    ids = [key.access_key_id for key in held.keys] if held else []
    requester = Requester(ensure_timekeeper(session).id)
    audit(session, requester, action, client, {"access_key_ids": ids})
