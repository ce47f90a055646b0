"""The courier: a thread beside the worker that mails links, looks for receipts, and forgets
secrets.
"""

import logging
import threading
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select, update

from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.deliveries import DeliveryEventKind, Mail, MailState, RecordLink
from service.context import Services
from service.delivery.forgetting import forget_due
from service.delivery.links import note
from service.delivery.mailing import MailDelayed, MailRefused, Postman, compose, postman
from service.delivery.receipts import IamKeyUse, KeyUse, look_for_use

log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
USE_EVERY = timedelta(hours=1)
FORGET_EVERY = timedelta(minutes=1)
LEASE = timedelta(minutes=5)
"""For so long a message that one process sends is nobody else's."""
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720))


class Courier:
    """Carries what is due; one thread a process, several processes share the rows."""

    def __init__(
        self, services: Services, *, by: Postman | None = None, use: KeyUse | None = None
    ) -> None:
        self._services = services
        self._postman = by or postman(services.settings)
        self._use = use
        self._stopping = threading.Event()
        self._next_use = self._next_forget = utc_now()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def launch(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after what is being carried."""
        self._stopping.set()
        self._services.mail_waits.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick(utc_now())
            except Exception:
                # The boundary of the thread: who waits for mail needs it to look again.
                log.exception("what is to be delivered could not be looked at")
            self._services.mail_waits.wait(PAUSE_SECONDS)
            self._services.mail_waits.clear()

    def tick(self, now: datetime) -> None:
        """Do what is due now."""
        self.send_due(now)
        if now >= self._next_use:
            self._next_use = now + USE_EVERY
            look_for_use(self._services, self._use or IamKeyUse(self._services.areas.access.iam))
        if now >= self._next_forget:
            self._next_forget = now + FORGET_EVERY
            forget_due(self._services, now)

    def send_due(self, now: datetime) -> int:
        """Send the messages that are due; return how many left."""
        sent = 0
        while not self._stopping.is_set() and (mail := self._claim(now)) is not None:
            sent += self._carry(mail)
        return sent

    def _claim(self, now: datetime) -> Mail | None:
        if self._full(now):
            return None
        due = select(Mail.id).where(
            Mail.state == MailState.pending, col(Mail.next_attempt_at) <= now
        )
        with transaction(self._services.database, write=False) as session:
            found = session.exec(due.order_by(col(Mail.next_attempt_at)).limit(1)).first()
        if found is None:
            return None
        with transaction(self._services.database) as session:
            claimed = session.connection().execute(
                update(Mail)
                .where(
                    col(Mail.id) == found,
                    col(Mail.state) == MailState.pending,
                    col(Mail.next_attempt_at) <= now,
                )
                .values(next_attempt_at=now + LEASE, attempts=col(Mail.attempts) + 1)
            )
            return session.get(Mail, found) if claimed.rowcount == 1 else None

    def _full(self, now: datetime) -> bool:
        """Tell whether as many messages as are allowed have left within the hour (PB-20)."""
        lately = select(func.count()).select_from(Mail)
        lately = lately.where(col(Mail.sent_at) > now - timedelta(hours=1))
        with transaction(self._services.database, write=False) as session:
            return session.exec(lately).one() >= self._services.settings.mails_per_hour

    def _carry(self, mail: Mail) -> bool:
        try:
            self._send(mail)
        except MailRefused as error:
            self._end(mail, MailState.failed, str(error))
            return False
        except MailDelayed as error:
            self._delay(mail, str(error))
            return False
        except Exception:
            # The boundary of one message: those behind it get their turn.
            log.exception("message %s broke", mail.id)
            self._delay(mail, "something went wrong inside the service; the log names this message")
            return False
        self._end(mail, MailState.sent, None)
        return True

    def _send(self, mail: Mail) -> None:
        if self._postman is None:
            raise MailRefused("no mail server is set (HANDOVER_SMTP_HOST)")
        services = self._services
        with transaction(services.database, write=False) as session:
            link = session.get_one(RecordLink, mail.link_id)
            client = session.get_one(Client, link.client_id)
        if link.expires_at <= utc_now() or mail.link is None:
            raise MailRefused("the link expired before it could be sent")
        address = services.keyring.open(mail.link, aad=mail.associated_data)
        self._postman.send(compose(services.settings, client, link, mail.recipient, address))

    def _end(self, mail: Mail, state: MailState, failure: str | None) -> None:
        with transaction(self._services.database) as session:
            row = session.get_one(Mail, mail.id)
            row.state, row.failure, row.link = state, failure, None
            row.sent_at = utc_now() if state is MailState.sent else None
            kind = DeliveryEventKind.mailed if row.sent_at else DeliveryEventKind.mail_failed
            self._note(session, row, kind)

    def _delay(self, mail: Mail, failure: str) -> None:
        if mail.attempts > len(PAUSES):
            self._end(mail, MailState.failed, failure)
            return
        with transaction(self._services.database) as session:
            row = session.get_one(Mail, mail.id)
            row.failure = failure
            row.next_attempt_at = utc_now() + PAUSES[mail.attempts - 1]

    @staticmethod
    def _note(session: Session, mail: Mail, kind: DeliveryEventKind) -> None:
        note(session, session.get_one(RecordLink, mail.link_id), kind)
