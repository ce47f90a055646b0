"""Works on what has arrived: reads each event, asks the tool's API, opens the area.

A thread of the process that has the worker. Several processes share the events: each is claimed by
a conditional UPDATE, under a lease that ends by itself when the process dies; who comes back after
its lease writes nothing any more.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from models.base import utc_now
from models.database import transaction
from models.operations import Operation
from models.webhooks import (
    WebhookConnection,
    WebhookEvent,
    WebhookEventState,
    claim_event,
    due_events,
    forget_events,
    move_event,
)
from service.context import Services
from service.http.quota import AdmissionControl
from service.http.starting import Once, start
from service.problems import Problem
from service.webhooks.fetching import ApiClient, Fetched, FetchPostponed, FetchRefused
from service.webhooks.reading import Reading, Wish, wish_of
from service.webhooks.settling import Outcome, Settled, incomplete, is_for_later, open_area, refused
from service.wishes import Requester

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 3600.0
STOP_SECONDS = 30
LEASE = timedelta(minutes=5)
BATCH = 20
FETCH_DELAYS = (2, 10, 60, 300, 1800, 7200)
"""Seconds until the tool's API is asked again after it did not answer."""


class EventIntake:
    """Works on events until it is stopped; one a process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._processor = EventProcessor(services)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook-intake", daemon=True)

    def launch(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End what is under way, and stop."""
        self._stopping.set()
        self._services.arrivals.set()
        self._thread.join(timeout=STOP_SECONDS)

    def _run(self) -> None:
        arrivals = self._services.arrivals
        forget_at = time.monotonic()
        while not self._stopping.is_set():
            arrivals.clear()
            try:
                while not self._stopping.is_set() and self._processor.sweep():
                    pass
                if time.monotonic() >= forget_at:
                    self._processor.forget()
                    forget_at = time.monotonic() + FORGET_SECONDS
            except Exception:
                # The boundary of the thread: it looks again.
                log.exception("webhook events could not be taken up")
            arrivals.wait(SWEEP_SECONDS)


class _ClaimLost(Exception):
    """Another process has taken the event over."""


class EventProcessor:
    """Carries out single events."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._admission = AdmissionControl.of(services)

    def sweep(self) -> int:
        """Work on the events that are due; return how many there were."""
        with transaction(self._services.database, write=False) as session:
            found = due_events(session, utc_now(), BATCH)
        for event_id in found:
            if self._claim(event_id):
                self._work_on(event_id)
        return len(found)

    def forget(self) -> int:
        """Erase what events say that were settled long ago; return how many there were."""
        days = self._services.settings.webhook_event_days
        with transaction(self._services.database) as session:
            return forget_events(session, utc_now() - timedelta(days=days))

    def judge(
        self,
        connection: WebhookConnection,
        event: Mapping[str, Any],
        completion: Mapping[str, Any],
        *,
        fetched: Fetched | None = None,
    ) -> tuple[Wish | None, Outcome]:
        """Read an event: the wish that it is, or the outcome of one that is none.

        Asks the tool's API unless `fetched` is given. Raises FetchPostponed.
        """
        reading = Reading.of(connection, self._services.settings.zone)
        if reason := reading.unrelated(event):
            return None, Outcome(WebhookEventState.ignored, reason)
        try:
            answered = fetched or self._fetch(connection, reading, event)
        except FetchRefused as error:
            return None, Outcome(WebhookEventState.needs_attention, f"{error}.")
        document = {**event, "fetched": answered.answers}
        fields = reading.fields(document)
        ignore = reading.outdated(document) or reading.unmarked({**fields, **completion})
        if ignore:
            return None, Outcome(WebhookEventState.ignored, ignore, fields=fields)
        wish = wish_of(fields, completion)
        outcome = incomplete(wish.errors, answered.notes) if wish.errors else _OPENS
        return wish, replace(outcome, fields=wish.fields)

    def try_out(
        self, connection: WebhookConnection, event: Mapping[str, Any], fetched: Fetched | None
    ) -> Outcome:
        """Return what an event would do, and write nothing.

        The area is begun as it would be, in a transaction that is rolled back.
        """
        try:
            wish, outcome = self.judge(connection, event, {}, fetched=fetched)
        except FetchPostponed as error:
            return Outcome(WebhookEventState.received, f"{error}; it would be asked again.")
        if wish is None or wish.request is None:
            return outcome
        self._admission.refresh()
        try:
            with transaction(self._services.database) as session:
                requester = Requester(connection.actor_id)
                open_area(session, self._services, wish.request, requester, self._admission.admit)
                # Leaving by an error is what rolls the transaction back.
                raise Settled(Outcome(WebhookEventState.opened))
        except Settled as settled:
            return replace(settled.outcome, fields=wish.fields)
        except Problem as problem:
            return replace(refused(problem), fields=wish.fields)

    def _claim(self, event_id: str) -> bool:
        with transaction(self._services.database) as session:
            return claim_event(session, event_id, utc_now(), LEASE)

    def _work_on(self, event_id: str) -> None:
        with transaction(self._services.database, write=False) as session:
            event = session.get_one(WebhookEvent, event_id)
            connection = session.get_one(WebhookConnection, event.connection_id)
        try:
            self._end(connection, event)
        except _ClaimLost:
            log.warning("webhook event %s was taken over by another process", event_id)
        except SQLAlchemyError:
            # The lease runs out, and the event is taken up again.
            log.exception("webhook event %s could not be written", event_id)

    def _end(self, connection: WebhookConnection, event: WebhookEvent) -> None:
        try:
            self._carry_out(connection, event)
        except (_ClaimLost, SQLAlchemyError):
            raise
        except Exception:
            # The boundary of the work: an event must end, and those behind it get their turn.
            log.exception("webhook event %s broke", event.id)
            reason = "Something went wrong inside the service; the log names this event."
            self._write(event, Outcome(WebhookEventState.needs_attention, reason))

    def _carry_out(self, connection: WebhookConnection, event: WebhookEvent) -> None:
        completion = json.loads(event.completion) if event.completion else {}
        try:
            wish, outcome = self.judge(connection, json.loads(event.body), completion)
        except FetchPostponed as error:
            self._postpone(event, str(error))
            return
        if wish is None or wish.request is None:
            self._write(event, outcome)
            return
        self._open(connection, event, wish)

    def _open(self, connection: WebhookConnection, event: WebhookEvent, wish: Wish) -> None:
        request = wish.request
        assert request is not None
        self._admission.refresh()
        # Whoever completed it asks for it, and so must not be the one to approve it (SP-04).
        requester = Requester(event.completed_by or connection.actor_id)

        def begin(session: Session) -> Operation:
            # The event's row first, the audit chain last (lock order).
            held = _held(session, event)
            admit = self._admission.admit
            operation = open_area(session, self._services, request, requester, admit)
            held.operation_id, held.client_id = operation.id, operation.client_id
            _write(held, replace(_OPENS, fields=wish.fields, client_id=operation.client_id))
            return operation

        try:
            start(self._services, Once(connection.actor_id, None, ""), begin)
        except Settled as settled:
            self._write(event, replace(settled.outcome, fields=wish.fields))
        except Problem as problem:
            if is_for_later(problem):
                self._wait(event, problem)
            else:
                self._write(event, replace(refused(problem), fields=wish.fields))

    def _fetch(
        self, connection: WebhookConnection, reading: Reading, event: Mapping[str, Any]
    ) -> Fetched:
        if reading.kind.api is None:
            return Fetched({})
        credential = connection.open_credential(self._services.keyring)
        if connection.api_url is None or credential is None:
            raise FetchRefused("The connection has no api_url or no credential for the tool's API")
        seconds = self._services.settings.webhook_fetch_seconds
        client = ApiClient(reading.kind.api, connection.api_url, credential, seconds)
        return client.fetch(event, reading.rules)

    def _postpone(self, event: WebhookEvent, reason: str) -> None:
        if event.attempts > len(FETCH_DELAYS):
            sentence = (
                f"{reason}; given up after {event.attempts} tries. Replay it when it answers."
            )
            self._write(event, Outcome(WebhookEventState.needs_attention, sentence))
            return
        with transaction(self._services.database) as session:
            held = _held(session, event)
            held.due_at = utc_now() + timedelta(seconds=FETCH_DELAYS[event.attempts - 1])
            held.reason = f"{reason}; it is asked again at {held.due_at:%H:%M:%S} UTC."
            move_event(held, WebhookEventState.received)

    def _wait(self, event: WebhookEvent, problem: Problem) -> None:
        """Leave the event until there is room; that is none of its tries at the tool's API."""
        seconds = int(problem.headers["Retry-After"])
        with transaction(self._services.database) as session:
            held = _held(session, event)
            held.due_at = utc_now() + timedelta(seconds=seconds)
            held.attempts -= 1
            held.reason = refused(problem).reason
            move_event(held, WebhookEventState.received)

    def _write(self, event: WebhookEvent, outcome: Outcome) -> None:
        with transaction(self._services.database) as session:
            _write(_held(session, event), outcome)


_OPENS = Outcome(WebhookEventState.opened)


def _held(session: Session, event: WebhookEvent) -> WebhookEvent:
    """Lock the event's row; raises _ClaimLost when it is not this attempt's any more."""
    held = session.get_one(WebhookEvent, event.id, with_for_update=True)
    if held.state is not WebhookEventState.processing or held.leased_until != event.leased_until:
        raise _ClaimLost
    return held


def _write(event: WebhookEvent, outcome: Outcome) -> None:
    event.reason = outcome.sentence
    event.missing = [error.field for error in outcome.errors]
    event.mapped = json.dumps(outcome.fields) if outcome.fields is not None else None
    event.client_id = outcome.client_id or event.client_id
    move_event(event, outcome.state)
