"""What the clock began and failed is begun again, later each time, and given up in the end.

Each key counts its own tries in a row. Given up, it is told by `/readyz`, `GET /v1/queue`, the
audit and its last operation, until somebody has repaired the client or that operation succeeds.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import Session, col, func, select

from models.access_keys import AccessKey
from models.base import utc_now
from models.clients import Client
from models.deliveries import receipt_of
from models.operations import Operation
from service.accounts import ensure_timekeeper
from service.intents import audit
from service.wishes import Requester

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(days=1)
CLOCK_TRIES = 14
"""Failures in a row after which the clock begins no more for a key: about eight days."""
DEATHS_WEIGH = 5
"""For how many failures one counts in which worker after worker died: that costs all others too."""


def pause_after(tries: int) -> timedelta:
    """Return how long the clock waits after so many failures in a row: twice as long each time."""
    doublings = max(0, tries - 1)
    return min(timedelta(seconds=FIRST_PAUSE.total_seconds() * 2.0**doublings), LONGEST_PAUSE)


def postpone(
    session: Session,
    operation: Operation,
    client: Client,
    keys: Sequence[AccessKey],
    *,
    failures: int,
) -> None:
    """Let the clock ask again later for what the update was to do; so many failures count."""
    for key in keys:
        if not _concerns(operation, key):
            continue
        before, key.failed_tries = key.failed_tries, key.failed_tries + failures
        later = utc_now() + pause_after(key.failed_tries)
        if key.id in operation.parameters["turn_off"]:
            key.turn_off_at = later
        if key.id in operation.parameters["delete"]:
            key.delete_at = later
        if key.id in operation.parameters["forget"] and (receipt := receipt_of(session, key.id)):
            receipt.erase_at = later
        if before < CLOCK_TRIES <= key.failed_tries:
            _tell(session, operation, client, key)


def settled(operation: Operation, keys: Sequence[AccessKey]) -> None:
    """Forget the failures of the keys that the update was about, as it succeeded."""
    for key in keys:
        if _concerns(operation, key):
            key.failed_tries = 0


def gave_up(operation: Operation, keys: Sequence[AccessKey]) -> bool:
    """Tell whether the clock begins no more what the update was to do."""
    return any(key.failed_tries >= CLOCK_TRIES for key in keys if _concerns(operation, key))


def given_up(session: Session) -> int:
    """Return for how many keys the clock has given up what is due."""
    query = select(func.count()).select_from(AccessKey)
    return session.exec(query.where(col(AccessKey.failed_tries) >= CLOCK_TRIES)).one()


def _concerns(operation: Operation, key: AccessKey) -> bool:
    return any(key.id in operation.parameters[what] for what in ("turn_off", "delete", "forget"))


def _tell(session: Session, operation: Operation, client: Client, key: AccessKey) -> None:
    log.error("client %s: the clock gives up what is due for a key", client.slug)
    data = {"access_key_id": key.access_key_id, "operation_id": operation.id}
    requester = Requester(ensure_timekeeper(session).id)
    audit(session, requester, "key.due_work_given_up", client, data)
