"""How tests wait: for what has to become true, and long enough for a machine that is kept busy."""

import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

PATIENCE = 60.0
"""Seconds after which what has not come true never will; nothing is meant to take as long."""
MUCH = 3 * PATIENCE
"""The same for work of many operations, or for one that a dead worker left behind."""
PAUSE = 0.03

T = TypeVar("T")


def until(
    true: Callable[[], T | None],
    told: str | Callable[[], object] = "it has not happened",
    *,
    patience: float = PATIENCE,
) -> T:
    """Wait until something is true, and return it; ``told`` is the message of the failure."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < deadline, told if isinstance(told, str) else told()
        time.sleep(PAUSE)
    return found


class Standstill(threading.Thread):
    """Counts the seconds in which a machine that is too busy let nothing of the test go on.

    For the few tests that measure a time that is promised: such seconds are not the product's.
    """

    TICK = 0.1

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Begin to count."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Count no more."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Count by how much ticks are late that are late by more than one."""
        due = time.monotonic() + self.TICK
        while not self._over.wait(max(0.0, due - time.monotonic())):
            late = time.monotonic() - due
            self.seconds += late if late > self.TICK else 0.0
            due = time.monotonic() + self.TICK
