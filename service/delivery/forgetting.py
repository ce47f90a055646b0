"""Secrets whose time has come are forgotten by an operation on the client (PB-13)."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from models.access_keys import AccessKey
from models.clients import Client, find_client
from models.database import transaction
from models.deliveries import Receipt
from models.operations import unfinished_operation
from service.accounts import ensure_operator
from service.context import Services
from service.rotation.postponing import CLOCK_TRIES
from service.rotation.wishes import WITH_AREA, begin_update
from service.wishes import Requester


def forget_due(services: Services, now: datetime) -> int:
    """Begin to forget the secrets whose days of grace are over; return how many were begun.

    Where the client is being worked on the next look will do; where the key's secret is gone
    already, with the area or by a rotation, only the receipt is closed.
    """
    begun = 0
    for slug, receipt_id in _due(services, now):
        operation_id = _begin(services, slug, receipt_id, now)
        if operation_id is not None:
            services.dispatcher.start(operation_id)
            begun += 1
    return begun


def receipts_of(session: Session, key_row_ids: Sequence[str]) -> Sequence[Receipt]:
    """Return the receipts of these keys."""
    query = select(Receipt).where(col(Receipt.access_key_row_id).in_(key_row_ids))
    return session.exec(query).all()


def _due(services: Services, now: datetime) -> Sequence[tuple[str, str]]:
    query = (
        select(Client.slug, Receipt.id)
        .join(Receipt, col(Receipt.client_id) == Client.id)
        .join(AccessKey, col(AccessKey.id) == Receipt.access_key_row_id)
        .where(col(Receipt.erased_at).is_(None), Receipt.erase_at <= now)
        .where(col(AccessKey.failed_tries) < CLOCK_TRIES)
    )
    with transaction(services.database, write=False) as session:
        return session.exec(query).all()


def _begin(services: Services, slug: str, receipt_id: str, now: datetime) -> str | None:
    with transaction(services.database) as session:
        client = find_client(session, slug, for_update=True)
        receipt = session.get_one(Receipt, receipt_id)
        key = session.get_one(AccessKey, receipt.access_key_row_id)
        if client is None or receipt.erased_at is not None:
            return None
        if key.secret is None:
            receipt.erased_at = now
            return None
        if client.state not in WITH_AREA or unfinished_operation(session, client.id) is not None:
            return None
        by = Requester(ensure_operator(session).id)
        return begin_update(session, client, by, forget=[key]).id
