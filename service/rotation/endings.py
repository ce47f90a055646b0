"""How a key ends, as rows: turned off for good, and a day later gone."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from models.access_keys import AccessKey, AccessKeyStatus

DELETION_DELAY = timedelta(days=1)
"""How long a key that was turned off is kept: a client that still needs it calls within a day."""


def turn_off(key: AccessKey, at: datetime) -> None:
    """Wish that the key is off, for good, and gone a day later."""
    key.status = AccessKeyStatus.inactive
    key.ended_at = key.ended_at or at
    key.turn_off_at = None
    key.delete_at = at + DELETION_DELAY


def turn_off_all(keys: Iterable[AccessKey], at: datetime) -> None:
    """Wish that every key that works is off, for good, and gone a day later."""
    for key in keys:
        if key.status is AccessKeyStatus.active:
            turn_off(key, at)


def delete(key: AccessKey, at: datetime) -> None:
    """Wish that the key is gone, and forget its secret."""
    key.status = AccessKeyStatus.deleted
    key.ended_at = key.ended_at or at
    key.turn_off_at = key.delete_at = None
    key.secret = None
