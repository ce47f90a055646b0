"""``python -m tests.service.workers.late_to_notice``: the service, frozen on a busy machine.

The threads that watch over its signs of life get no turn for a while after it woke.
"""

import time
from typing import Any

from service.cli import main
from service.worker import presence, worker
from tests.service.unhurried import unhurried

LATE = 30.0


class LatePresence(presence.Presence):
    """A presence that sees late that it was cut off, unless it is asked."""

    def _try_to_beat(self) -> None:
        if time.monotonic() - self._beaten > presence.LOST_SECONDS:
            time.sleep(LATE)
        super()._try_to_beat()

    def _watch(self) -> None:
        """Not look at all."""


if __name__ == "__main__":
    unhurried()
    parts: Any = worker
    parts.Presence = LatePresence
    main()
