"""The timekeeper beside the worker: what is due by the clock begins, and survives restarts.

Everything it needs is in the rows, and every duty is decided again under a lock on its client, so
that several processes may each have one. Nothing is kept here but when suspensions were last
verified, and whether the clock goes.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session, col, or_, select

from models.base import utc_now
from models.clients import Client, ClientState
from models.database import transaction
from service.approvals import ending
from service.context import Services
from service.rotation import due
from service.suspension.switching import carry_out
from stacks.failures import StackError

log = logging.getLogger(__name__)

TICK_SECONDS = 5.0
VERIFY_EVERY = timedelta(minutes=10)
"""How often AWS is asked whether each suspension still holds, whatever somebody did by hand."""
STANDS_AFTER = timedelta(minutes=3)
"""Without a sign of progress for so long the clock stands; one client takes a silent AWS less."""
STOP_SECONDS = 30


class Timekeeper:
    """Looks at the clock every few seconds; `tick` does all that is due at a moment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._verify_at: datetime | None = None
        self._ahead = timedelta()
        self._looked = 0.0
        self._moved_at = utc_now()
        self._unasked = False
        self._failing_since: datetime | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)

    def launch(self) -> None:
        """Begin to look at the clock."""
        self._thread.start()

    def stop(self) -> None:
        """End what is under way and stop."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)

    def stands_since(self) -> datetime | None:
        """Return since when something that falls due is not looked after, or None while all is.

        What can't be done for single clients is told in the log, and does not count.
        """
        if not self._thread.is_alive() or utc_now() - self._moved_at > STANDS_AFTER:
            return self._moved_at
        return self._failing_since

    def tick(self, now: datetime | None = None) -> None:
        """Do what is due, wishes first; `now` is the present moment unless a test says otherwise.

        What fails for one client is told in the log and tried again at the next tick. What needs
        the rows only comes before anything that asks AWS, which may take its time.
        """
        moment = now or utc_now()
        self._ahead = moment - utc_now()
        self._unasked = False
        self._look_at_rows()
        unconfirmed, confirmed = self._found(_unconfirmed), []
        if self._verify_at is None or moment >= self._verify_at:
            self._verify_at = moment + VERIFY_EVERY
            confirmed = self._found(_confirmed)
        self._switch_all(unconfirmed)
        self._verify(confirmed)
        self._failing_since = (self._failing_since or utc_now()) if self._unasked else None
        self._moved_at = utc_now()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
            except Exception:
                # The last boundary: nobody else would begin the clock again.
                log.exception("the clock missed a look; the next one is soon")
                self._failing_since = self._failing_since or utc_now()
            self._stopping.wait(TICK_SECONDS)

    def _look_at_rows(self) -> None:
        """Do what the rows alone are needed for: wishes are written, and operations begun."""
        self._looked = time.monotonic()
        now = utc_now() + self._ahead
        today = now.astimezone(self._services.settings.zone).date()
        self._each(
            lambda session: due.clients_near_their_end(session, today),
            lambda client_id: self._end_or_warn(client_id, now),
        )
        self._each(
            lambda session: due.clients_with_due_keys(session, now),
            lambda client_id: self._begin_due(client_id, now),
        )
        self._each(
            lambda session: due.clients_with_old_keys(session, now),
            lambda client_id: self._report_old(client_id, now),
        )
        self._each(
            lambda session: ending.clients_with_late_approvals(session, now),
            lambda client_id: self._expire(client_id, now),
        )

    def _switch_all(self, client_ids: Iterable[str]) -> None:
        """Make AWS what is wished of these clients' access; the rows are looked at meanwhile."""
        for client_id in client_ids:
            if self._stopping.is_set():
                return
            self._alone(client_id, lambda one: carry_out(self._services, one))
            if time.monotonic() - self._looked > TICK_SECONDS:
                # A silent AWS takes its time over each, and nobody's last day waits for that.
                self._look_at_rows()

    def _verify(self, client_ids: Iterable[str]) -> None:
        for client_id in client_ids:
            looked = self._looked
            self._switch_all([client_id])
            if self._looked != looked:
                # Whose access ends meanwhile goes before those that hold a cut already.
                self._switch_all(self._found(_unconfirmed))

    def _each(self, find: Callable[[Session], Iterable[str]], act: Callable[[str], object]) -> None:
        for client_id in self._found(find):
            if self._stopping.is_set():
                return
            self._alone(client_id, act)

    def _found(self, find: Callable[[Session], Iterable[str]]) -> list[str]:
        """Return the clients that something is to be done for; none where that can't be asked."""
        try:
            with transaction(self._services.database, write=False) as session:
                return list(find(session))
        except DBAPIError as error:
            log.error("the database can't be asked for what is due: %s", error.orig)
        except Exception:
            # One question must not keep the clock from the others.
            log.exception("what is due can't be asked for")
        self._unasked = True
        return []

    def _alone(self, client_id: str, act: Callable[[str], object]) -> None:
        """Do something for one client; whatever it meets, the others get their turn."""
        try:
            act(client_id)
        except StackError as error:
            code = error.failure.code
            log.warning("client %s: %s; it is tried again", self._slug(client_id), code)
        except Exception:
            log.exception("client %s: what is due failed; it is tried again", self._slug(client_id))
        self._moved_at = utc_now()

    def _slug(self, client_id: str) -> str:
        """Return the name that people know the client by, without reading its whole row."""
        try:
            with transaction(self._services.database, write=False) as session:
                return session.exec(select(Client.slug).where(Client.id == client_id)).one()
        except SQLAlchemyError:
            return client_id

    def _end_or_warn(self, client_id: str, now: datetime) -> None:
        today = now.astimezone(self._services.settings.zone).date()
        with transaction(self._services.database) as session:
            ended = due.end_or_warn(session, client_id, today)
        if ended is not None:
            log.info("the validity of client %s has ended: suspended", ended.slug)

    def _begin_due(self, client_id: str, now: datetime) -> None:
        with transaction(self._services.database) as session:
            operation = due.begin_due(session, client_id, now)
        if operation is not None:
            self._services.dispatcher.start(operation.id)

    def _report_old(self, client_id: str, now: datetime) -> None:
        with transaction(self._services.database) as session:
            due.report_old(session, client_id, now)

    def _expire(self, client_id: str, now: datetime) -> None:
        ending.expire_approvals(self._services, now, client_id=client_id)


_SUSPENDED = col(Client.suspended_at).is_not(None)


def _unconfirmed(session: Session) -> Iterable[str]:
    """Return whose wish AWS has not confirmed, those that are to be cut first."""
    cut = col(Client.cut_at).is_not(None)
    query = select(Client.id).where(or_(_SUSPENDED & ~cut, ~_SUSPENDED & cut))
    query = query.where(Client.state != ClientState.closed)
    return session.exec(query.order_by(col(Client.suspended_at).is_(None))).all()


def _confirmed(session: Session) -> Iterable[str]:
    """Return who is suspended, as AWS has confirmed once."""
    query = select(Client.id).where(_SUSPENDED, col(Client.cut_at).is_not(None))
    return session.exec(query.where(Client.state != ClientState.closed)).all()
