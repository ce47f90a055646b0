"""``python -m tests.service.workers.poisoned``: the service, killed by the work on one client.

POISON names the client whose area kills the process as it is made. Before it does, so many other
areas as HOLD says have to be under way too, and hold still until then. The area that WAITER names
waits, as for a held stack, while the file POISONED exists. Who was under way when the process died,
and who was told to wait, is written to NOTES.
"""

import functools
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.cli import main
from stacks.areas import Areas
from stacks.failures import LOCKED, Failure, StackError

PATIENCE = 60.0


class Deadly:
    """Wraps what makes an area."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: set[str] = set()
        self._hold = int(os.environ["HOLD"])

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call as it is for the poisoned one and its neighbours."""

        @functools.wraps(call)
        def wrapper(areas: Areas, area: Any, *arguments: Any, **options: Any) -> Any:
            if area.slug == os.environ["WAITER"] and Path(os.environ["POISONED"]).exists():
                note([area.slug])
                raise StackError(area.slug, Failure(LOCKED, "another update holds the stack"))
            self._meet(area.slug)
            try:
                return call(areas, area, *arguments, **options)
            finally:
                with self._changed:
                    self._inside.discard(area.slug)

        return wrapper

    def _meet(self, slug: str) -> None:
        with self._changed:
            self._inside.add(slug)
            self._changed.notify_all()
            if slug == os.environ["POISON"]:
                assert self._changed.wait_for(lambda: len(self._inside) > self._hold, PATIENCE)
                self._die()
            elif self._hold:
                self._changed.wait_for(lambda: False, 2 * PATIENCE)

    def _die(self) -> None:
        note(sorted(self._inside))
        os.kill(os.getpid(), signal.SIGKILL)


def note(slugs: list[str]) -> None:
    """Append one line, in one write."""
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(json.dumps(slugs) + "\n")


if __name__ == "__main__":
    made: Any = Areas
    made.open = Deadly().wrapped(Areas.open)
    main()
