"""One-time links to a client's record, made for the contract's signer (SP-15, SP-28).

The token stands behind the `#` of the address: browsers never send that part to a server, so that
no access log on the way can hold it, and a link scanner that only GETs the page learns nothing.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urljoin

from sqlmodel import Session, col, select

from models.base import utc_now
from models.clients import Client, Signer
from models.deliveries import (
    DeliveryEvent,
    DeliveryEventKind,
    Mail,
    RecordLink,
    new_token,
    token_digest,
)
from models.sealing import Keyring
from service import problems
from service.freezing import signed_contract
from service.intents import audit, links_of
from service.problems import Problem
from service.records import RecordGone, RecordNotReady, RecordOffice
from service.settings import Settings
from service.wishes import Requester

COLLECT_PATH = "/collect"


@dataclass(frozen=True)
class MadeLink:
    """A link that was just made; `address` holds the token and is told once."""

    link: RecordLink
    address: str = field(repr=False)
    mail: Mail | None = None


def make_link(
    session: Session,
    settings: Settings,
    keyring: Keyring,
    client: Client,
    requester: Requester,
    *,
    send: bool,
) -> MadeLink:
    """Make a link to the client's newest record; earlier links that were not used end.

    With ``send`` the address is mailed to the contract's signer. The caller holds the client's
    row. Raises the Problems `record-not-ready`, `record-gone`, `base-url-missing` and
    `recipient-not-allowed`.
    """
    base = _base_url(settings)
    key_row_id = _deliverable(session, client)
    _end_earlier(session, client)
    token = new_token()
    link = RecordLink(
        client_id=client.id,
        access_key_row_id=key_row_id,
        token_sha256=token_digest(token),
        created_by=requester.actor_id,
        expires_at=utc_now() + timedelta(hours=settings.link_hours),
    )
    session.add(link)
    note(session, link, DeliveryEventKind.created, requester.source_ip)
    address = f"{urljoin(base.rstrip('/') + '/', COLLECT_PATH.lstrip('/'))}#{token}"
    mail = _post(session, settings, keyring, client, link, address) if send else None
    audit(session, requester, "record.link_made", client, {"link_id": link.id})
    return MadeLink(link, address, mail)


def note(
    session: Session, link: RecordLink, kind: DeliveryEventKind, network: str | None = None
) -> None:
    """Write down what happened to a link."""
    session.add(DeliveryEvent(link_id=link.id, kind=kind, network=network))


def may_be_mailed(settings: Settings, recipient: str) -> bool:
    """Tell whether the recipient's domain is among the allowed ones; all are, where none is set."""
    domain = recipient.rpartition("@")[2].lower()
    allowed = settings.mail_domains_allowed
    return not allowed or domain in {name.lower() for name in allowed}


def _deliverable(session: Session, client: Client) -> str:
    try:
        return RecordOffice.deliverable_key(session, client).id
    except RecordNotReady as error:
        members = {"links": links_of(client)}
        raise Problem(problems.RECORD_NOT_READY, str(error), members=members) from None
    except RecordGone as error:
        members = {"links": links_of(client)}
        raise Problem(problems.RECORD_GONE, str(error), members=members) from None


def _base_url(settings: Settings) -> str:
    if settings.base_url is None:
        raise Problem(
            problems.BASE_URL_MISSING,
            "HANDOVER_BASE_URL is not set, so that no address for the signer can be made.",
        )
    return settings.base_url


def _end_earlier(session: Session, client: Client) -> None:
    now = utc_now()
    unused = select(RecordLink).where(
        RecordLink.client_id == client.id,
        col(RecordLink.downloaded_at).is_(None),
        RecordLink.expires_at > now,
    )
    for link in session.exec(unused).all():
        link.expires_at = now


def _post(
    session: Session,
    settings: Settings,
    keyring: Keyring,
    client: Client,
    link: RecordLink,
    address: str,
) -> Mail:
    signer: Signer = signed_contract(session, client)[1]
    if not may_be_mailed(settings, signer.email):
        raise Problem(
            problems.RECIPIENT_NOT_ALLOWED,
            f"The contract's address of {client.slug} is not in an allowed domain "
            "(HANDOVER_MAIL_DOMAINS_ALLOWED).",
        )
    mail = Mail(link_id=link.id, recipient=signer.email, language=client.language)
    mail.link = keyring.seal(address, aad=mail.associated_data)
    session.add(mail)
    return mail
