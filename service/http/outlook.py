"""What readiness knows of AWS: asked by one thread at a time, and kept for a moment.

`/readyz` answers anybody, as often as anybody asks. An AWS that is slow must cost neither a thread
for each question nor a call.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import Future

from stacks.areas import Areas, AreasReadiness

FRESH_SECONDS = 3.0
"""How long what AWS said is told again without asking."""
BELIEVED_SECONDS = 30.0
"""How long it is told while AWS takes its time to answer."""
PATIENCE_SECONDS = 5.0
"""How long one who asks waits for AWS."""

_log = logging.getLogger("handover.http")


class AwsOutlook:
    """The last look at AWS; for one event loop."""

    def __init__(self, areas: Areas) -> None:
        self._areas = areas
        self._known: AreasReadiness | None = None
        self._known_at = 0.0
        self._asking: Future[None] | None = None

    async def look(self) -> AreasReadiness | None:
        """Return what AWS said a moment ago, else ask it; None when it does not answer in time."""
        if self._is_younger_than(FRESH_SECONDS):
            return self._known
        if self._asking is None or self._asking.done():
            self._asking = Future()
            # No thread of a pool: the process must be able to end while AWS is silent.
            threading.Thread(
                target=self._ask, args=(self._asking,), name="outlook", daemon=True
            ).start()
        await asyncio.wait({asyncio.wrap_future(self._asking)}, timeout=PATIENCE_SECONDS)
        return self._known if self._is_younger_than(BELIEVED_SECONDS) else None

    def _is_younger_than(self, seconds: float) -> bool:
        return self._known is not None and time.monotonic() - self._known_at < seconds

    def _ask(self, asking: "Future[None]") -> None:
        began = time.monotonic()
        try:
            self._known, self._known_at = self._areas.readiness(), began
        except Exception:  # noqa: BLE001 - the thread's boundary: who waits learns that nothing is known
            _log.exception("AWS could not be looked at")
        finally:
            asking.set_result(None)
