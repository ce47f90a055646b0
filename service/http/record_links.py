"""`/v1/clients/{slug}/record/…` and `/deliveries`: hand a record over, see what came of it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from models.access_keys import AccessKey
from models.clients import Client
from models.database import transaction
from models.deliveries import (
    DeliveryEvent,
    DeliveryEventKind,
    Mail,
    MailState,
    Receipt,
    ReceiptHow,
    RecordLink,
)
from service import problems
from service.delivery.codes import show_code
from service.delivery.links import make_link
from service.delivery.texts import password_text
from service.http.dependencies import Reader, RecordReader, ServicesDep
from service.http.documents import Document
from service.http.guards import json_only
from service.http.openapi import documented
from service.http.parameters import Slug
from service.http.reading import client_within_reach
from service.records import SIGNER_NAME_WARNING
from service.settings import SIGNER_NAME

router = APIRouter(
    prefix="/v1/clients/{slug}", tags=["delivery"], dependencies=[Depends(json_only)]
)

_READS = (problems.NOT_FOUND, problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER)
_READY = (problems.RECORD_NOT_READY, problems.RECORD_GONE)


class MakeLink(BaseModel):
    """Whether the link is mailed to the contract's signer."""

    model_config = ConfigDict(extra="forbid")

    send: bool = False


class PasswordDocument(Document):
    """How the document is opened, and what that is worth; never the value."""

    rule: str = Field(examples=["signer-name"])
    text: str
    warning: str | None


class LinkDocument(Document):
    """A one-time link that was just made; the address is told once."""

    id: str
    address: str
    expires_at: datetime
    mailed_to: str | None
    password: PasswordDocument


class DeliveryEventDocument(Document):
    """What happened to a link, when, and from which network address."""

    kind: DeliveryEventKind
    at: datetime
    network: str | None


class MailDocument(Document):
    """An e-mail that carries a link."""

    recipient: str
    state: MailState
    attempts: int
    failure: str | None
    sent_at: datetime | None


class ReceiptDocument(Document):
    """What showed that the key arrived, and when its secret is forgotten."""

    how: ReceiptHow
    at: datetime
    erase_at: datetime
    erased_at: datetime | None


class DeliveryDocument(Document):
    """One link and what came of it."""

    link: str
    generation: int = Field(description="Of the key that the record hands over.")
    created_at: datetime
    expires_at: datetime
    downloaded_at: datetime | None
    confirmed_at: datetime | None
    mail: MailDocument | None
    receipt: ReceiptDocument | None
    events: list[DeliveryEventDocument]


class DeliveryList(Document):
    """All deliveries of a client's records, newest first."""

    items: list[DeliveryDocument]


class CodeDocument(Document):
    """The code of six words, shown once; hand it over by another channel than the file."""

    number: str
    version: int
    code: str


@router.post(
    "/record/links",
    status_code=201,
    summary="Make a one-time link to the record",
    responses=documented(
        *_READS,
        *_READY,
        problems.MALFORMED_BODY,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.BODY_TOO_LARGE,
        problems.INVALID_REQUEST,
        problems.BASE_URL_MISSING,
        problems.RECIPIENT_NOT_ALLOWED,
    ),
)
def make_record_link(
    slug: Slug, services: ServicesDep, caller: RecordReader, body: MakeLink = MakeLink()
) -> LinkDocument:
    """Make a link that downloads the record once, for the contract's signer; earlier unused links
    end. With `send` it is mailed to the address in the contract.
    """
    settings = services.settings
    with transaction(services.database) as session:
        client = client_within_reach(session, caller, slug, for_update=True)
        made = make_link(
            session, settings, services.keyring, client, caller.requester, send=body.send
        )
        document = LinkDocument(
            id=made.link.id,
            address=made.address,
            expires_at=made.link.expires_at,
            mailed_to=made.mail.recipient if made.mail else None,
            password=_password(settings.password_rule),
        )
    services.mail_waits.set()
    return document


@router.get("/deliveries", summary="List deliveries", responses=documented(*_READS))
def list_deliveries(slug: Slug, services: ServicesDep, caller: Reader) -> DeliveryList:
    """Return each link to the client's records and what came of it: views, download, receipt."""
    with transaction(services.database, write=False) as session:
        client = client_within_reach(session, caller, slug)
        query = select(RecordLink).where(RecordLink.client_id == client.id)
        links = session.exec(query.order_by(col(RecordLink.created_at).desc())).all()
        return DeliveryList(items=[_delivery(session, link) for link in links])


@router.post(
    "/record/code",
    summary="Show the record's code once",
    responses=documented(*_READS, *_READY, problems.CODE_SHOWN, problems.CODE_NOT_USED),
)
def show_record_code(
    slug: Slug,
    services: ServicesDep,
    caller: RecordReader,
    renew: Annotated[bool, Query(description="Make a new code and show that.")] = False,
) -> JSONResponse:
    """Show the code of six words that opens the record together with the signer's name, once."""
    with transaction(services.database) as session:
        client: Client = client_within_reach(session, caller, slug, for_update=True)
        record, code = show_code(session, services.keyring, client, caller.requester, renew=renew)
        document = CodeDocument(number=record.number, version=record.version, code=code)
    return JSONResponse(document.model_dump(mode="json"), headers={"Cache-Control": "no-store"})


def _password(rule: str) -> PasswordDocument:
    warning = SIGNER_NAME_WARNING if rule == SIGNER_NAME else None
    return PasswordDocument(rule=rule, text=password_text("en", rule), warning=warning)


def _delivery(session: Session, link: RecordLink) -> DeliveryDocument:
    key = session.get_one(AccessKey, link.access_key_row_id)
    events = select(DeliveryEvent).where(DeliveryEvent.link_id == link.id)
    mail = session.exec(select(Mail).where(Mail.link_id == link.id)).first()
    receipt = session.exec(select(Receipt).where(Receipt.access_key_row_id == key.id)).first()
    return DeliveryDocument(
        link=link.id,
        generation=key.generation,
        created_at=link.created_at,
        expires_at=link.expires_at,
        downloaded_at=link.downloaded_at,
        confirmed_at=link.confirmed_at,
        mail=MailDocument.model_validate(mail) if mail else None,
        receipt=ReceiptDocument.model_validate(receipt) if receipt else None,
        events=[
            DeliveryEventDocument.model_validate(event)
            for event in session.exec(events.order_by(col(DeliveryEvent.id))).all()
        ],
    )
