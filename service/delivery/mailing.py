"""E-mails that carry a link to the contract's address: never the document, never its password."""

import smtplib
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from html import escape
from mailbox import Maildir
from pathlib import Path
from typing import Protocol

from models.base import utc_now
from models.clients import Client
from models.deliveries import RecordLink
from service.delivery.texts import password_text, texts
from service.settings import Settings

SMTP_SECONDS = 20.0
LOCAL_SENDER = "handover@localhost"


class MailRefused(Exception):
    """The message will not be taken, however often it is sent; the text has no address in it."""


class MailDelayed(Exception):
    """The message could not be handed over now."""


class Postman(Protocol):
    """Takes messages to where they are read."""

    def send(self, message: EmailMessage) -> None:
        """Hand a message over; raises `MailRefused` and `MailDelayed`."""


class FolderPostman:
    """Puts messages into a folder (Maildir), for local mode."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: EmailMessage) -> None:
        """Add the message to the folder."""
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        Maildir(self._folder).add(message)


class SmtpPostman:
    """Hands messages to the SMTP server of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, message: EmailMessage) -> None:
        """Send the message; a refusal for good (5xx) raises `MailRefused`."""
        try:
            with self._connected() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            permanent = all(code >= 500 for code in codes)
            text = f"the mail server refuses the recipient ({', '.join(map(str, codes))})"
            raise (MailRefused if permanent else MailDelayed)(text) from None
        except smtplib.SMTPResponseException as error:
            permanent = error.smtp_code >= 500
            text = f"the mail server answers {error.smtp_code}"
            raise (MailRefused if permanent else MailDelayed)(text) from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailDelayed(f"the mail server can't be used: {type(error).__name__}") from None

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        assert settings.smtp_host is not None  # `postman` chooses this one only then
        kind = smtplib.SMTP_SSL if settings.smtp_security == "tls" else smtplib.SMTP
        server = kind(settings.smtp_host, settings.smtp_port, timeout=SMTP_SECONDS)
        if settings.smtp_security == "starttls":
            server.starttls()
        if settings.smtp_user is not None and settings.smtp_password is not None:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        return server


def postman(settings: Settings) -> Postman | None:
    """Return who carries messages: SMTP where it is set, a folder in local mode, else nobody."""
    if settings.smtp_host is not None:
        return SmtpPostman(settings)
    return FolderPostman(settings.data_directory / "mail") if settings.local else None


def compose(
    settings: Settings, client: Client, link: RecordLink, recipient: str, address: str
) -> EmailMessage:
    """Return the message that carries the link, plain and as HTML, in the client's language."""
    words = texts(client.language)
    until = link.expires_at.astimezone(settings.zone).strftime("%Y-%m-%d %H:%M %Z")
    organisation = settings.organisation_name
    sender = settings.mail_from or LOCAL_SENDER
    intro = words["mail_intro"].format(
        organisation=organisation, client=client.legal_name, until=until
    )
    about = password_text(client.language, settings.password_rule)
    stranger = words["mail_stranger"].format(help_contact=settings.help_contact)
    message = EmailMessage()
    message["Subject"] = words["subject"].format(organisation=organisation)
    message["From"] = sender
    message["To"] = recipient
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = make_msgid(idstring=link.id, domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834
    message.set_content("\n\n".join((intro, address, about, stranger)) + "\n")
    button = f'<a href="{escape(address)}">{escape(words["download"])}</a>'
    parts = (escape(intro), button, escape(about), escape(stranger))
    html = "".join(f"<p>{part}</p>" for part in parts)
    message.add_alternative(
        f'<!doctype html><html lang="{client.language}"><body>{html}</body></html>', subtype="html"
    )
    return message
