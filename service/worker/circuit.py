"""A circuit breaker before AWS: while AWS is down nobody hammers it, and work waits.

Closed it lets all through. After two failures in a row because AWS was not there it opens; then one
caller at a time asks each service that is needed a cheap question, with growing pauses, until all
answer. AWS that throttles is there: each operation waits for itself then, with growing pauses.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime

from models.base import utc_now

log = logging.getLogger(__name__)

THRESHOLD = 2
"""Failures in a row, over all operations, after which the circuit opens."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Circuit:
    """Shared by all operations of one process. ``answers`` asks AWS whether it is there."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._probing = threading.Lock()
        self._failures = 0
        self._since: datetime | None = None
        self._pause = FIRST_PAUSE
        self._ask_at = 0.0

    @property
    def open_since(self) -> datetime | None:
        """Since when AWS has not answered, or None while it does."""
        with self._lock:
            return self._since

    def succeeded(self) -> None:
        """Note that AWS answered, be it with a refusal."""
        with self._lock:
            if self._since is not None:
                log.info("AWS answers again; work goes on")
            self._failures, self._since, self._pause = 0, None, FIRST_PAUSE

    def failed(self) -> None:
        """Note that AWS did not answer, or said that it is out of order."""
        with self._lock:
            self._failures += 1
            if self._failures >= THRESHOLD and self._since is None:
                log.warning("AWS does not answer; operations wait until it does")
                self._since = utc_now()
                self._ask_later()

    def permits(self) -> bool:
        """Tell whether AWS may be asked now; while the circuit is open this may probe AWS."""
        with self._lock:
            if self._since is None:
                return True
            due = time.monotonic() >= self._ask_at
        if due and self._probing.acquire(blocking=False):
            try:
                self._probe()
            finally:
                self._probing.release()
        return self.open_since is None

    def _probe(self) -> None:
        if self._answers():
            self.succeeded()
            return
        with self._lock:
            self._ask_later()

    def _ask_later(self) -> None:
        # Jitter, so that several processes do not ask in step.
        self._ask_at = time.monotonic() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
