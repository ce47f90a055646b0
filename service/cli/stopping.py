"""Leaving in order when the process is told to stop."""

import signal
from types import FrameType

_STOPS = (signal.SIGTERM, signal.SIGINT)


def leave_on_signals() -> None:
    """Let SIGTERM and SIGINT leave through all open contexts, so that what they hold ends."""
    for stop in _STOPS:
        signal.signal(stop, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # uvicorn raises the signal again once it has stopped serving, so that this is reached both
    # while the service starts and when it has served.
    for stop in _STOPS:
        signal.signal(stop, signal.SIG_IGN)
    raise SystemExit(0)
