"""What the receiver of a one-time link may do: look, download once, confirm.

A wrong token, an expired link and a used one are answered alike: None.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.deliveries import (
    DeliveryEventKind,
    ReceiptHow,
    RecordLink,
    link_behind,
)
from service.context import Services
from service.delivery.links import note
from service.delivery.receipts import receive
from service.records import IssuedRecord, RecordGone, RecordNotReady, RecordOffice, note_issue
from service.wishes import Requester


@dataclass(frozen=True)
class Collectable:
    """What the page may say about the document before it is downloaded; no name, no password."""

    number: str
    version: int
    organisation: str
    language: str
    expires_at: datetime


def look(services: Services, token: str, network: str | None) -> Collectable | None:
    """Return what waits behind the token, and note the view."""
    with transaction(services.database) as session:
        found = _usable(session, token)
        if found is None:
            return None
        link, client = found
        try:
            record = RecordOffice.newest_record(session, client)
        except (RecordGone, RecordNotReady):
            return None
        note(session, link, DeliveryEventKind.viewed, network)
        return Collectable(
            record.number,
            record.version,
            services.settings.organisation_name,
            client.language,
            link.expires_at,
        )


def collect(services: Services, token: str, by: Requester) -> IssuedRecord | None:
    """Return the record, once; ``by`` has the network and the request, the actor is the link's."""
    # Rendering takes tens of milliseconds: the writing transaction must not last as long.
    with transaction(services.database, write=False) as session:
        found = _usable(session, token, lock=False)
        if found is None:
            return None
        try:
            issued = services.records.issue_pdf(session, found[1])
        except (RecordGone, RecordNotReady):
            return None
    with transaction(services.database) as session:
        found = _usable(session, token)
        if found is None:
            return None  # another download was first
        link, client = found
        link.downloaded_at = utc_now()
        note(session, link, DeliveryEventKind.downloaded, by.source_ip)
        requester = Requester(link.created_by, by.source_ip, by.request_id)
        note_issue(session, client, issued, requester, link_id=link.id)
    return issued


def confirm(services: Services, token: str, network: str | None) -> bool:
    """Note that the receiver's engineer could use the key; tell whether the token was right."""
    with transaction(services.database) as session:
        link = link_behind(session, token)
        if link is None or link.downloaded_at is None or link.confirmed_at is not None:
            return False
        link.confirmed_at = utc_now()
        note(session, link, DeliveryEventKind.confirmed, network)
        receive(session, services.settings, link.access_key_row_id, ReceiptHow.confirmed)
        return True


def _usable(session: Session, token: str, *, lock: bool = True) -> tuple[RecordLink, Client] | None:
    link = link_behind(session, token, lock=lock)
    if link is None or link.downloaded_at is not None or link.expires_at <= utc_now():
        return None
    return link, session.get_one(Client, link.client_id)
