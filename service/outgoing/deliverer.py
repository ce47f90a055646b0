"""The deliverer of one process: tells each endpoint of each event, again until it hears.

Several processes share the work through the rows alone: taking a delivery up moves its due time
past a lease, so that nobody else takes it, and a process that dies leaves it to come due again.
A delivery is therefore made at least once; receivers tell a repeated one by its `webhook-id`.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import col, select

from models.base import utc_now
from models.database import transaction
from models.outgoing import DeliveryState, FeedEvent, WebhookDelivery, WebhookEndpoint
from models.sealing import SealingError
from service.context import Services
from service.outgoing.destinations import Destinations
from service.outgoing.schedule import Jitter, cancel, random_jitter, settle
from service.outgoing.sending import Outcome, Sender, message_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LEASE = timedelta(minutes=2)
"""How long a delivery that was taken up is left alone; far above what one attempt may take."""

PARALLEL = 16
PARALLEL_PER_ENDPOINT = 4
"""So that receivers that hang leave room for the others."""

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class _Job:
    """A delivery that this process has taken up; `attempt` tells its lease from a later one."""

    delivery_id: str
    endpoint_id: str
    attempt: int


class Deliverer:
    """Delivers what is due, at most PARALLEL at once; starts with `launch`, ends with `stop`."""

    def __init__(
        self,
        services: Services,
        *,
        sender: Sender | None = None,
        clock: Clock = utc_now,
        jitter: Jitter = random_jitter,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._services = services
        self._sender = sender or Sender(Destinations.of(services.settings))
        self._clock, self._jitter, self._poll_seconds = clock, jitter, poll_seconds
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._stopping, self._look_now = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="delivery")
        self._thread = threading.Thread(target=self._run, name="deliverer", daemon=True)

    def launch(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def alive(self) -> bool:
        """Tell whether the deliverer runs."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def stop(self) -> None:
        """Take nothing more up, and wait for the attempts under way; each has its time limit."""
        self._stopping.set()
        self._look_now.set()
        self._thread.join()
        self._pool.shutdown()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                while not self._stopping.is_set() and self._take_up():
                    pass
            except Exception:
                # The boundary of the thread: it looks again.
                log.exception("deliveries that are due could not be taken up")
            self._look_now.wait(self._poll_seconds)
            self._look_now.clear()

    def _take_up(self) -> bool:
        """Take up what is due and hand it to the pool; tell whether anything was."""
        room, full = self._room()
        if room <= 0 or not self._due(full):
            return False
        jobs = self._claim(room, full)
        for job in jobs:
            self._pool.submit(self._work, job)
        return bool(jobs)

    def _room(self) -> tuple[int, list[str]]:
        """Return how many more may be taken up, and the endpoints that have all they may have."""
        with self._lock:
            full = [name for name, count in self._busy.items() if count >= PARALLEL_PER_ENDPOINT]
            return PARALLEL - self._busy.total(), full

    def _due(self, full: Sequence[str]) -> bool:
        # Looking is cheap; only what is found is worth a writer's turn.
        with transaction(self._services.database, write=False) as session:
            return session.exec(self._query(full).limit(1)).first() is not None

    def _claim(self, room: int, full: Sequence[str]) -> list[_Job]:
        query = self._query(full).limit(room).with_for_update(skip_locked=True)
        jobs: list[_Job] = []
        with transaction(self._services.database) as session:
            for delivery in session.exec(query):
                if not self._reserve(delivery.endpoint_id):
                    continue
                delivery.attempts += 1
                delivery.next_attempt_at = self._clock() + LEASE
                jobs.append(_Job(delivery.id, delivery.endpoint_id, delivery.attempts))
        return jobs

    def _query(self, full: Sequence[str]) -> Any:
        due, endpoint = col(WebhookDelivery.next_attempt_at), col(WebhookDelivery.endpoint_id)
        query = select(WebhookDelivery).where(
            WebhookDelivery.state == DeliveryState.pending, due <= self._clock()
        )
        return query.where(endpoint.not_in(full)).order_by(due, col(WebhookDelivery.event_sequence))

    def _reserve(self, endpoint_id: str) -> bool:
        with self._lock:
            if self._busy[endpoint_id] >= PARALLEL_PER_ENDPOINT:
                return False
            self._busy[endpoint_id] += 1
            return True

    def _release(self, endpoint_id: str) -> None:
        with self._lock:
            self._busy[endpoint_id] -= 1
            if not self._busy[endpoint_id]:
                del self._busy[endpoint_id]
        self._look_now.set()

    def _work(self, job: _Job) -> None:
        try:
            self._settle(job, self._attempt(job))
        except Exception:
            # The boundary of a thread of the pool, which would swallow it. The delivery comes due
            # again when its lease ends.
            log.exception("delivery %s could not be carried out", job.delivery_id)
        finally:
            self._release(job.endpoint_id)

    def _attempt(self, job: _Job) -> Outcome | None:
        """Send it and return how that ended, None when the endpoint was deleted meanwhile."""
        with transaction(self._services.database, write=False) as session:
            delivery = session.get_one(WebhookDelivery, job.delivery_id)
            endpoint = session.get_one(WebhookEndpoint, job.endpoint_id)
            event = session.get_one(FeedEvent, delivery.event_sequence)
        if endpoint.deleted_at is not None:
            return None
        now = self._clock()
        try:
            secrets = endpoint.open_secrets(self._services.keyring, now)
        except SealingError:
            log.exception("the secret of endpoint %s can't be opened", endpoint.id)
            return Outcome(delivered=False, reason="its secret can't be opened; see the log")
        return self._sender.send(endpoint.url, message_of(event), secrets, now)

    def _settle(self, job: _Job, outcome: Outcome | None) -> None:
        now = self._clock()
        with transaction(self._services.database) as session:
            delivery = session.get_one(WebhookDelivery, job.delivery_id, with_for_update=True)
            if delivery.state is not DeliveryState.pending or delivery.attempts != job.attempt:
                return
            if outcome is None:
                state = cancel(delivery, now)
            else:
                state = settle(delivery, outcome, now, self._jitter)
        if state is DeliveryState.dead:
            log.warning(
                "delivery %s to endpoint %s is dead after %d attempts: %s. Mend the receiver, "
                "then replay it.",
                delivery.id,
                delivery.endpoint_id,
                delivery.attempts,
                delivery.last_reason,
            )
