"""The timekeeper beside the worker: what is due by the clock begins, and survives restarts.

Everything it needs is in the rows, and every duty is decided again under a lock on its client, so
that several processes may each have one. Nothing is kept here but when suspensions were last
verified.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, or_, select

from models.base import utc_now
from models.clients import Client, ClientState
from models.database import transaction
from service.approvals.ending import expire_approvals
from service.context import Services
from service.rotation import due
from service.suspension.switching import carry_out
from stacks.failures import StackError

log = logging.getLogger(__name__)

TICK_SECONDS = 5.0
VERIFY_EVERY = timedelta(minutes=10)
"""How often AWS is asked whether each suspension still holds, whatever somebody did by hand."""
STOP_SECONDS = 30


class Timekeeper:
    """Looks at the clock every few seconds; `tick` does all that is due at a moment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._verify_at: datetime | None = None
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

    def tick(self, now: datetime | None = None) -> None:
        """Do what is due, access first; `now` is the present moment unless a test says otherwise.

        What fails for one client is told in the log and tried again at the next tick.
        """
        moment = now or utc_now()
        today = moment.astimezone(self._services.settings.zone).date()
        self._each(lambda session: self._to_be_switched(session, moment), self._switch)
        self._each(
            lambda session: due.clients_near_their_end(session, today),
            lambda client_id: self._end_or_warn(client_id, moment),
        )
        self._each(
            lambda session: due.clients_with_due_keys(session, moment),
            lambda client_id: self._begin_due(client_id, moment),
        )
        with transaction(self._services.database, write=False) as session:
            old = due.old_keys(session, moment)
        for client_id, key_row_id in old:
            with transaction(self._services.database) as session:
                due.report_old(session, client_id, key_row_id, moment)
        expire_approvals(self._services, moment)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
            except SQLAlchemyError:
                log.exception("the database can't be asked for what is due")
            self._stopping.wait(TICK_SECONDS)

    def _each(self, find: Callable[[Session], Iterable[str]], act: Callable[[str], None]) -> None:
        with transaction(self._services.database, write=False) as session:
            found = list(find(session))
        for client_id in found:
            if self._stopping.is_set():
                return
            try:
                act(client_id)
            except StackError as error:
                log.warning("client %s: %s; it is tried again", client_id, error.failure.code)
            except SQLAlchemyError:
                # One client must not keep the clock from the others.
                log.exception("client %s: what is due could not be written", client_id)

    def _to_be_switched(self, session: Session, now: datetime) -> list[str]:
        """Return whose wish AWS has not confirmed, and now and then everybody suspended."""
        suspended = col(Client.suspended_at).is_not(None)
        wanted = or_(
            suspended & col(Client.cut_at).is_(None),
            ~suspended & col(Client.cut_at).is_not(None),
        )
        if self._verify_at is None or now >= self._verify_at:
            self._verify_at = now + VERIFY_EVERY
            wanted = suspended | wanted
        query = select(Client.id).where(wanted, Client.state != ClientState.closed)
        return list(session.exec(query))

    def _switch(self, client_id: str) -> None:
        carry_out(self._services, client_id)

    def _end_or_warn(self, client_id: str, now: datetime) -> None:
        today = now.astimezone(self._services.settings.zone).date()
        with transaction(self._services.database) as session:
            ended = due.end_or_warn(session, client_id, today)
        if ended is not None:
            log.info("the validity of client %s has ended: suspended", client_id)
            self._switch(client_id)

    def _begin_due(self, client_id: str, now: datetime) -> None:
        with transaction(self._services.database) as session:
            operation = due.begin_due(session, client_id, now)
        if operation is not None:
            self._services.dispatcher.start(operation.id)
