"""The caller's wish to end an update early, asked until it is there and then kept."""

from collections.abc import Callable

ShouldStop = Callable[[], bool]
"""Says whether an update is to end early; it must answer at once and raise nothing."""


class Stop:
    """Asks a caller whether to stop; once the answer was yes, it stays yes."""

    def __init__(self, should_stop: ShouldStop | None = None) -> None:
        """``should_stop`` None: never."""
        self.asked = False
        self._should_stop = should_stop

    def __call__(self) -> bool:
        """Tell whether the update is to end."""
        if not self.asked and self._should_stop is not None:
            self.asked = self._should_stop()
        return self.asked


NEVER = Stop()
