"""A question that is asked right before each request to AWS that one context makes.

For who may work only as long as something holds: a process that was frozen in the middle of its
work and wakes up would send what it had decided long ago.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_guard: ContextVar[Callable[[], object] | None] = ContextVar("guard", default=None)


@contextmanager
def guarded(check: Callable[[], object]) -> Iterator[None]:
    """Ask ``check`` before each request that this thread sends while the context lasts, each try
    of it too. It stops the work by raising, or ends the process.
    """
    before = _guard.set(check)
    try:
        yield
    finally:
        _guard.reset(before)


def ask_guard(**_event: object) -> None:
    """Ask the check that this thread works under, if there is one; a listener of botocore's."""
    check = _guard.get()
    if check is not None:
        check()
