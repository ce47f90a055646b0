"""Receipts: that a key reached its people, and when its secret is forgotten here.

Either the receiver confirms by the link, or AWS has seen the key used in S3 later than our own
proof of it and later than the first download.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from sqlmodel import Session, col, func, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import append_audit
from models.audit_entry import AuditEntry
from models.base import utc_now
from models.database import transaction
from models.deliveries import Receipt, ReceiptHow, RecordLink, receipt_of
from service.accounts import ensure_operator
from service.context import Services
from service.settings import Settings
from stacks.failures import StackError

log = logging.getLogger(__name__)


class KeyUse(Protocol):
    """Tells when a key was last used in S3."""

    def last_used(self, access_key_id: str) -> datetime | None:
        """Return when, or None when AWS knows of no use."""


class IamKeyUse:
    """Asks IAM (`GetAccessKeyLastUsed`); the local AWS answers that it does not know."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam

    def last_used(self, access_key_id: str) -> datetime | None:
        """Return when the key was last used in S3, as IAM tells, or None."""
        answer = self._iam.get_access_key_last_used(AccessKeyId=access_key_id)["AccessKeyLastUsed"]
        used: datetime | None = answer.get("LastUsedDate")
        return used if answer.get("ServiceName", "").lower() == "s3" else None


def receive(session: Session, settings: Settings, key_row_id: str, how: ReceiptHow) -> None:
    """Write the key's receipt, once; the secret is forgotten after the days of grace."""
    if receipt_of(session, key_row_id) is not None:
        return
    key = session.get_one(AccessKey, key_row_id)
    erase_at = utc_now() + timedelta(days=settings.receipt_grace_days)
    session.add(
        Receipt(
            access_key_row_id=key.id,
            client_id=key.client_id,
            how=how,
            erase_at=erase_at,
        )
    )
    append_audit(
        session,
        AuditEntry(
            actor_id=ensure_operator(session).id,
            action="key.received",
            object_type="access_key",
            object_id=key.access_key_id or key.id,
            client_id=key.client_id,
            data={"how": how.value},
        ),
    )


def look_for_use(services: Services, use: KeyUse) -> int:
    """Ask AWS about keys that were downloaded and have no receipt; return how many got one."""
    received = 0
    for key, downloaded_at in _waiting(services):
        try:
            used = use.last_used(key.access_key_id or "")
        except (BotoCoreError, ClientError, StackError) as error:
            log.warning("the last use of a key is not known: %s", type(error).__name__)
            return received
        if used is None or used <= downloaded_at or used <= (key.proven_at or downloaded_at):
            continue
        with transaction(services.database) as session:
            receive(session, services.settings, key.id, ReceiptHow.used)
        received += 1
    return received


def _waiting(services: Services) -> Sequence[tuple[AccessKey, datetime]]:
    first = func.min(RecordLink.downloaded_at).label("first")
    downloads = (
        select(RecordLink.access_key_row_id, first)
        .where(col(RecordLink.downloaded_at).is_not(None))
        .group_by(col(RecordLink.access_key_row_id))
        .subquery()
    )
    query = (
        select(AccessKey, downloads.c.first)
        .join(downloads, downloads.c.access_key_row_id == AccessKey.id)
        .outerjoin(Receipt, col(Receipt.access_key_row_id) == AccessKey.id)
        .where(
            col(Receipt.id).is_(None),
            AccessKey.status == AccessKeyStatus.active,
            col(AccessKey.access_key_id).is_not(None),
        )
    )
    with transaction(services.database, write=False) as session:
        return [(key, at) for key, at in session.exec(query).all()]
