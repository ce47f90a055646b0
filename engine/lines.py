"""Output of a command: collected, and handed to a caller's callback as it comes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any


def guarded(callback: Callable[[Any], object]) -> Callable[[Any], None]:
    """A caller's callback must not be able to break an update in the middle of an act."""

    def call(argument: Any) -> None:
        try:
            callback(argument)
        except Exception as error:  # noqa: BLE001 - whatever the caller's code raises
            warnings.warn(f"a callback of the caller failed: {error!r}", stacklevel=2)

    return call


class Lines:
    """Collects the lines of one stream and passes each on as it comes."""

    def __init__(self, callback: Callable[[str], object] | None) -> None:
        self._callback = None if callback is None else guarded(callback)
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Take a text of one or more lines."""
        with self._lock:
            for line in text.split("\n"):
                self._lines.append(line)
                if self._callback is not None:
                    self._callback(line)

    def text(self) -> str:
        """Everything, as one text."""
        return "\n".join(self._lines)
