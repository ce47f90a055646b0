"""How much one sender may send: a token bucket each, in this process."""

import threading
import time
from collections.abc import Callable


class TokenBuckets:
    """Buckets that hold a minute's worth and fill up evenly; safe for several threads."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take a token; return 0, or the seconds until there will be one."""
        with self._lock:
            now = self._clock()
            level, since = self._buckets.get(key, (self._capacity, now))
            level = min(self._capacity, level + (now - since) * self._per_second)
            taken = level >= 1
            self._buckets[key] = (level - 1 if taken else level, now)
            return 0.0 if taken else (1 - level) / self._per_second
