"""Which programs still run for a stack: an update's own, and those that it started itself.

A killed service leaves its program behind for a moment, and a killed program its plugins: they may
still ask AWS for something that nobody will write down. So each of them holds a lock on a file of
the stack's, by a descriptor that children inherit; the kernel gives it back when the last of them
has ended, in whatever way. Source: flock(2), a lock belongs to the open file, shared by forks.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_SECONDS = 0.05


@contextmanager
def held(file: Path) -> Iterator[int]:
    """Hold the stack's file; yields the descriptor that the program has to inherit."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        # Closed, not unlocked: who has inherited it holds it on.
        os.close(descriptor)


def have_ended(file: Path, seconds: float) -> bool:
    """Wait until nothing holds the file, at most so long; tell whether that is so."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return True
    deadline = time.monotonic() + seconds
    try:
        while not _is_free(descriptor):
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
