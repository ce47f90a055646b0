"""Wake-ups within one process: who waits for an operation is told when something happened to it.

Only a hint. The truth is in the database, so that everybody who waits also looks there from time to
time. What another process does is told by `service.following`.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Wakeups:
    """One waiter's view of one operation."""

    def __init__(self, *, progress: bool) -> None:
        self.progress = progress
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    async def wait(self, timeout: float) -> bool:
        """Wait for the next wake-up, at most ``timeout`` seconds; tell whether one came."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def wake(self) -> None:
        """Wake the waiter, from any thread."""
        # A loop that has closed meanwhile has nobody waiting on it any more.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)


class OperationHub:
    """Passes wake-ups from worker threads to waiting requests and event streams."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, set[Wakeups]] = defaultdict(set)

    @asynccontextmanager
    async def subscribe(
        self, operation_id: str, *, progress: bool = False
    ) -> AsyncIterator[Wakeups]:
        """Receive the operation's wake-ups while the context lasts.

        They tell of its state; with ``progress`` of each event too, of which there are dozens.
        """
        wakeups = Wakeups(progress=progress)
        with self._lock:
            self._waiting[operation_id].add(wakeups)
        try:
            yield wakeups
        finally:
            with self._lock:
                self._waiting[operation_id].discard(wakeups)
                if not self._waiting[operation_id]:
                    del self._waiting[operation_id]

    def awaited(self) -> list[str]:
        """Return the operations that somebody here waits for."""
        with self._lock:
            return list(self._waiting)

    def publish(self, operation_id: str) -> None:
        """Wake all that wait for the operation, as its state may be another; call it after the
        commit.
        """
        self._wake(operation_id, everybody=True)

    def publish_progress(self, operation_id: str) -> None:
        """Wake who follows the operation's events; call it after the commit."""
        self._wake(operation_id, everybody=False)

    def _wake(self, operation_id: str, *, everybody: bool) -> None:
        with self._lock:
            waiting = list(self._waiting.get(operation_id, ()))
        for wakeups in waiting:
            if everybody or wakeups.progress:
                wakeups.wake()
