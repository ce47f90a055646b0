"""Ending an update early because the caller asks for it.

What runs is finished and recorded; nothing further is begun. It is what an interrupt (^C) does to
the official program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.reporting import Reporter
from engine.state import ResourceState
from engine.urn import is_provider_type, parse_urn

ShouldStop = Callable[[], bool]
"""Asked before each resource; True ends the update. It must answer at once and raise nothing."""

STOPPED = "stopped before"
"""How the one error of an update begins that was ended early."""


class Stopper:
    """Decides before each resource whether it may begin; reports once that the update ends."""

    def __init__(self, reporter: Reporter, should_stop: ShouldStop | None) -> None:
        """``should_stop`` None: never."""
        self._reporter = reporter
        self._should_stop = should_stop
        self._stopped = False
        self._lock = threading.Lock()

    def stops(self, state: ResourceState) -> bool:
        """Whether the update ends before this resource. Once it does, it does so for all."""
        if self._should_stop is None or not state.custom or is_provider_type(state.type):
            return False
        with self._lock:
            if not self._stopped and self._should_stop():
                self._stopped = True
                parts = parse_urn(state.urn)
                message = f"{STOPPED} {parts.type} '{parts.name}' as asked"
                self._reporter.error(message, state.urn)
            return self._stopped
