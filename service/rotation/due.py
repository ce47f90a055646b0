"""What the clock asks for: keys to turn off and delete, validity to warn of and to end, old keys.

Each function does one client's share in a transaction of its own and looks again at the rows that
it locked there, so that several processes may look at once and each thing still happens once.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, exists, or_, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.clients import Client, ClientState
from models.operations import UNFINISHED, Operation, unfinished_operation
from service.accounts import ensure_timekeeper
from service.intents import audit, keys_of
from service.outgoing.announce import EventType, announce
from service.rotation.postponing import CLOCK_TRIES
from service.rotation.wishes import WITH_AREA, begin_update
from service.suspension.wishes import suspend, validity_ended
from service.wishes import Requester

WARNING_DAYS = (30, 7, 1)
"""Days before `valid_until` on which its end is told, once each."""
OLD_DAYS = 180
"""Age in days from which a key is reported: twice a year keys are to be changed (RX-25)."""
ENDED = "Its validity has ended"
_PASSING = (ClientState.opening, ClientState.closing)
"""States in which the end of validity is not told ahead; the end itself holds in them."""


def clients_with_due_keys(session: Session, now: datetime) -> Sequence[str]:
    """Return the ids of the clients with a key whose time has come, the longest due first.

    One that is being worked on has its turn afterwards.
    """
    turn_off, delete = col(AccessKey.turn_off_at) <= now, col(AccessKey.delete_at) <= now
    with_area = col(Client.state).in_(WITH_AREA)
    failed = col(Client.state) == ClientState.failed
    query = (
        select(AccessKey.client_id)
        .join(Client, col(Client.id) == col(AccessKey.client_id))
        .where(col(AccessKey.failed_tries) < CLOCK_TRIES)
        .where(or_(with_area & or_(turn_off, delete), failed & turn_off), ~_worked_on())
        .order_by(col(AccessKey.turn_off_at), col(AccessKey.delete_at))
    )
    return list(dict.fromkeys(session.exec(query)))


def begin_due(session: Session, client_id: str, now: datetime) -> Operation | None:
    """Begin what turns keys off and deletes them; None while other work is under way.

    A key is never deleted in the same operation that turns it off. Where a closing or an opening
    failed none is deleted: nothing of an area that is half there may be made again for that.
    """
    client = session.get_one(Client, client_id, with_for_update=True)
    if unfinished_operation(session, client.id) is not None:
        return None
    keys = [key for key in keys_of(session, client) if key.failed_tries < CLOCK_TRIES]
    turn_off = [key for key in keys if key.turn_off_at and key.turn_off_at <= now]
    delete = [key for key in keys if not key.turn_off_at and key.delete_at and key.delete_at <= now]
    if client.state is ClientState.failed:
        delete = []
    elif client.state not in WITH_AREA:
        return None
    if not turn_off and not delete:
        return None
    requester = Requester(ensure_timekeeper(session).id)
    return begin_update(session, client, requester, turn_off=turn_off, delete=delete)


def clients_near_their_end(session: Session, today: date) -> Sequence[str]:
    """Return the ids of the clients whose validity has ended, or whose end is to be told now."""
    ends, told = col(Client.valid_until), col(Client.expiry_warned_days)
    untold = [
        (ends <= today + timedelta(days=days)) & or_(told.is_(None), told > days)
        for days in WARNING_DAYS
    ]
    passing = col(Client.state).in_(_PASSING)
    query = select(Client.id).where(or_(ends <= today, ~passing & or_(*untold)))
    query = query.where(col(Client.suspended_at).is_(None), _may_have_access())
    return session.exec(query).all()


def end_or_warn(session: Session, client_id: str, today: date) -> Client | None:
    """Suspend the client on the day, else tell the end when it has come near; return one that
    was suspended.
    """
    client = session.get_one(Client, client_id, with_for_update=True)
    if client.valid_until is None or client.suspended_at or not _has_access(session, client):
        return None
    if validity_ended(client, today):
        suspend(session, client, ENDED, Requester(ensure_timekeeper(session).id))
        return client
    if client.state in _PASSING:
        return None
    left = (client.valid_until - today).days
    threshold = min((days for days in WARNING_DAYS if left <= days), default=None)
    told = client.expiry_warned_days
    if threshold is not None and (told is None or told > threshold):
        client.expiry_warned_days = threshold
        data = {"days_left": left, "valid_until": client.valid_until.isoformat()}
        requester = Requester(ensure_timekeeper(session).id)
        announce(session, EventType.key_expiring, client, data=data)
        audit(session, requester, "client.expiring", client, data)
    return None


def clients_with_old_keys(session: Session, now: datetime) -> Sequence[str]:
    """Return the ids of the clients with a key that became old and was not reported."""
    query = (
        select(AccessKey.client_id)
        .where(AccessKey.status == AccessKeyStatus.active)
        .where(col(AccessKey.aged_at).is_(None), col(AccessKey.access_key_id).is_not(None))
        .where(col(AccessKey.created_at) <= now - timedelta(days=OLD_DAYS))
    )
    return session.exec(query.distinct()).all()


def report_old(session: Session, client_id: str, now: datetime) -> None:
    """Report the client's keys that are too old, once each (RX-25)."""
    client = session.get_one(Client, client_id, with_for_update=True)
    for key in keys_of(session, client):
        if _is_old(key, now) and key.aged_at is None:
            key.aged_at = now
            data = {"access_key_id": key.access_key_id, "age_days": (now - key.created_at).days}
            audit(session, Requester(ensure_timekeeper(session).id), "key.aged", client, data)


def _may_have_access() -> ColumnElement[bool]:
    """Select the clients one of whose keys may work, whatever became of the last operation."""
    active = exists().where(
        col(AccessKey.client_id) == col(Client.id),
        col(AccessKey.status) == AccessKeyStatus.active,
    )
    return or_(col(Client.state).in_(WITH_AREA), (col(Client.state) != ClientState.closed) & active)


def _has_access(session: Session, client: Client) -> bool:
    """Tell the same of one client."""
    if client.state in WITH_AREA or client.state is ClientState.closed:
        return client.state is not ClientState.closed
    return any(key.status is AccessKeyStatus.active for key in keys_of(session, client))


def _worked_on() -> ColumnElement[bool]:
    """Select the clients with an operation that is unfinished."""
    return exists().where(
        col(Operation.client_id) == col(Client.id), col(Operation.state).in_(sorted(UNFINISHED))
    )


def _is_old(key: AccessKey, now: datetime) -> bool:
    """Tell whether the key works and is too old."""
    works = key.status is AccessKeyStatus.active and key.access_key_id is not None
    return works and key.created_at <= now - timedelta(days=OLD_DAYS)
