"""The courier: e-mails over a real SMTP server and into a folder, with patience and an end."""

import smtplib
import socket
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from mailbox import Maildir
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from sqlmodel import Session, col, select

from models.base import utc_now
from models.clients import find_client
from models.database import transaction
from models.deliveries import DeliveryEvent, DeliveryEventKind, Mail, MailState, RecordLink
from models.sealing import SealedText
from service.accounts import ensure_operator
from service.assembly import Runtime
from service.delivery.courier import PAUSES, Courier
from service.delivery.links import MadeLink, make_link
from service.delivery.mailing import MailDelayed, SmtpPostman
from service.delivery.texts import TEXTS
from service.problems import Problem
from service.settings import Settings
from service.wishes import Requester
from tests.service.worker.test_worker import ended, wish

BASE = "https://handover.example"


class Inbox:
    """What a mail server took; `answer` is what it says to each message."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.answer = "250 taken"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: ARG002, N802
        content = envelope.content
        assert isinstance(content, bytes)
        if self.answer.startswith("250"):
            message = message_from_bytes(content, policy=default)
            assert isinstance(message, EmailMessage)
            self.messages.append(message)
        return self.answer


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def mail_server(inbox: Inbox) -> Iterator[Controller]:
    """A real SMTP server on loopback."""
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller
    controller.stop()


def free_port() -> int:
    """A port that was free a moment ago: the server's library can't take port 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def slug(runtime: Runtime, unique: str) -> str:
    ended(runtime, wish(runtime, unique))
    return unique


def smtp_settings(settings: Settings, server: Controller, **more: Any) -> Settings:
    changed = {
        "smtp_host": "127.0.0.1",
        "smtp_port": server.port,
        "smtp_security": "none",
        "mail_from": "handover@legit.example",
        "base_url": BASE,
    }
    return settings.model_copy(update=changed | more)


def make(runtime: Runtime, slug: str, settings: Settings, **change: Any) -> MadeLink:
    with transaction(runtime.services.database) as session:
        by = Requester(ensure_operator(session).id, "192.0.2.7")
        client = find_client(session, slug, for_update=True)
        assert client is not None
        for name, value in change.items():
            setattr(client, name, value)
        return make_link(session, settings, runtime.services.keyring, client, by, send=True)


def make_several(runtime: Runtime, slug: str, settings: Settings, count: int) -> None:
    """Make links that all wait to be sent: a new one would end the one before."""
    for _ in range(count):
        make(runtime, slug, settings)
    with transaction(runtime.services.database) as session:
        for link in session.exec(select(RecordLink)).all():
            link.expires_at = utc_now() + timedelta(days=1)


def mail_row(session: Session) -> Mail:
    return session.exec(select(Mail)).one()


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_message_carries_the_link_and_neither_document_nor_password(
    runtime: Runtime,
    slug: str,
    inbox: Inbox,
    mail_server: Controller,
    language: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SP-28, PB-13: plain text and HTML, in the client's language."""
    settings = smtp_settings(runtime.services.settings, mail_server)
    monkeypatch.setattr(runtime.services.settings, "mail_from", settings.mail_from)
    made = make(runtime, slug, settings, language=language, legal_name="Señor & <Hijos>")
    courier = Courier(runtime.services, by=SmtpPostman(settings))
    assert courier.send_due(utc_now()) == 1
    assert courier.send_due(utc_now()) == 0
    [message] = inbox.messages
    assert message["To"] == "a@abc.example"
    assert message["From"] == "handover@legit.example"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert made.address in plain.get_content().replace("\n", "")
    assert f'href="{made.address}"' in html.get_content()
    assert "Señor &amp; &lt;Hijos&gt;" in html.get_content()
    words = TEXTS[language]["password"][:40]
    assert words in plain.get_content()
    whole = message.as_string() + plain.get_content() + html.get_content()
    assert "Lovelace" not in whole
    assert "AKIA" not in whole
    assert not list(message.iter_attachments())
    with transaction(runtime.services.database, write=False) as session:
        mail = mail_row(session)
        assert (mail.state, mail.link) == (MailState.sent, None)
        kinds = [event.kind for event in session.exec(select(DeliveryEvent)).all()]
        assert kinds == [DeliveryEventKind.created, DeliveryEventKind.mailed]


def test_local_mode_puts_messages_into_a_folder(runtime: Runtime, slug: str) -> None:
    settings = runtime.services.settings.model_copy(update={"base_url": BASE})
    made = make(runtime, slug, settings)
    Courier(runtime.services).send_due(utc_now())
    [message] = Maildir(settings.data_directory / "mail")
    assert made.link.id in str(message["Message-ID"])


def test_a_server_that_is_away_is_tried_again_and_given_up_in_the_end(
    runtime: Runtime, slug: str, inbox: Inbox, mail_server: Controller
) -> None:
    settings = smtp_settings(runtime.services.settings, mail_server, link_hours=720)
    make(runtime, slug, settings)
    inbox.answer = "451 later"
    courier = Courier(runtime.services, by=SmtpPostman(settings))
    now = utc_now()
    for _ in range(len(PAUSES)):
        assert courier.send_due(now) == 0
        with transaction(runtime.services.database, write=False) as session:
            mail = mail_row(session)
        assert (mail.state, mail.failure) == (MailState.pending, "the mail server answers 451")
        assert mail.next_attempt_at > utc_now()
        assert courier.send_due(utc_now()) == 0
        now = mail.next_attempt_at
    courier.send_due(now)
    with transaction(runtime.services.database, write=False) as session:
        mail = mail_row(session)
        assert (mail.state, mail.link, mail.attempts) == (MailState.failed, None, len(PAUSES) + 1)
        kinds = [event.kind for event in session.exec(select(DeliveryEvent)).all()]
        assert kinds[-1] is DeliveryEventKind.mail_failed


def test_a_refusal_for_good_is_not_tried_again(
    runtime: Runtime, slug: str, inbox: Inbox, mail_server: Controller
) -> None:
    settings = smtp_settings(runtime.services.settings, mail_server)
    make(runtime, slug, settings)
    inbox.answer = "550 no"
    Courier(runtime.services, by=SmtpPostman(settings)).send_due(utc_now())
    with transaction(runtime.services.database, write=False) as session:
        assert mail_row(session).state is MailState.failed


def test_a_message_that_breaks_keeps_no_other_back(
    runtime: Runtime, slug: str, inbox: Inbox, mail_server: Controller
) -> None:
    """Its sealed link is damaged: it waits for another try, and the next one leaves."""
    settings = smtp_settings(runtime.services.settings, mail_server)
    make_several(runtime, slug, settings, 2)
    with transaction(runtime.services.database) as session:
        first, second = session.exec(select(Mail).order_by(col(Mail.next_attempt_at))).all()
        assert first.link is not None
        first.link = SealedText(first.link[:-1] + bytes([first.link[-1] ^ 1]))
    assert Courier(runtime.services, by=SmtpPostman(settings)).send_due(utc_now()) == 1
    assert len(inbox.messages) == 1
    with transaction(runtime.services.database, write=False) as session:
        broken, sent = session.get_one(Mail, first.id), session.get_one(Mail, second.id)
        assert (broken.state, sent.state) == (MailState.pending, MailState.sent)
        assert broken.next_attempt_at > utc_now()
        assert broken.failure is not None
        assert "inside the service" in broken.failure


def test_no_mail_leaves_for_a_link_that_has_expired(
    runtime: Runtime, slug: str, inbox: Inbox, mail_server: Controller
) -> None:
    settings = smtp_settings(runtime.services.settings, mail_server)
    made = make(runtime, slug, settings)
    with transaction(runtime.services.database) as session:
        link = session.get_one(RecordLink, made.link.id)
        link.expires_at = utc_now() - timedelta(seconds=1)
    Courier(runtime.services, by=SmtpPostman(settings)).send_due(utc_now())
    assert inbox.messages == []


def test_no_more_leave_in_an_hour_than_the_settings_allow(
    runtime: Runtime,
    slug: str,
    inbox: Inbox,
    mail_server: Controller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PB-20: outgoing mail is rate-limited; what is over the limit waits."""
    monkeypatch.setattr(runtime.services.settings, "mails_per_hour", 2)
    settings = smtp_settings(runtime.services.settings, mail_server)
    make_several(runtime, slug, settings, 3)
    courier = Courier(runtime.services, by=SmtpPostman(settings))
    assert courier.send_due(utc_now()) == 2
    assert courier.send_due(utc_now()) == 0
    assert courier.send_due(utc_now() + timedelta(minutes=61)) == 1


def test_only_allowed_domains_are_written_to(runtime: Runtime, slug: str) -> None:
    """PB-20: outgoing mail goes to allowed domains only."""
    changed = {"base_url": BASE, "mail_domains_allowed": ("Legit.example",)}
    settings = runtime.services.settings.model_copy(update=changed)
    with pytest.raises(Problem, match="not in an allowed domain"):
        make(runtime, slug, settings)
    wider = settings.model_copy(update={"mail_domains_allowed": ("legit.example", "ABC.example")})
    assert make(runtime, slug, wider).mail is not None
    with transaction(runtime.services.database, write=False) as session:
        assert len(session.exec(select(RecordLink)).all()) == 1


def test_encryption_is_asked_for_unless_told_otherwise(
    runtime: Runtime, mail_server: Controller
) -> None:
    """A server that offers no STARTTLS gets no message."""
    settings = smtp_settings(runtime.services.settings, mail_server, smtp_security="starttls")
    with pytest.raises(MailDelayed, match="SMTPNotSupportedError"):
        SmtpPostman(settings).send(EmailMessage())
    assert issubclass(smtplib.SMTPNotSupportedError, smtplib.SMTPException)
