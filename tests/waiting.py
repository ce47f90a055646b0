"""How tests wait: for what has to become true, and long enough for a machine that is kept busy."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0
"""Seconds after which what has not come true never will; nothing is meant to take as long."""
PAUSE = 0.02

T = TypeVar("T")


def until(
    true: Callable[[], T], told: Callable[[], object] = lambda: None, *, patience: float = PATIENCE
) -> T:
    """Wait until something is true, and return it; ``told`` makes the message of the failure."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < deadline, told() or f"not true after {patience:.0f} s"
        time.sleep(PAUSE)
    return found
