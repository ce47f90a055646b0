"""Who works at once in one process: all side by side, but alone whoever may have killed it.

When a process dies, all that was under way in it is suspected alike. So that the one at fault does
not take the others along, suspects then work one at a time, with nothing else beside them.
"""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 0.1


class Floor:
    """The places of one process; a run has one while something of it is under way.

    ``go_on`` is asked while a run waits for its place; it ends the wait by raising.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[Hashable, bool] = {}
        self._suspects_waiting = 0

    @contextmanager
    def place(self, run: Hashable, go_on: Callable[[], None], *, alone: bool) -> Iterator[None]:
        """Hold a place, with nobody else on the floor if ``alone``."""
        self._enter(run, go_on, alone=alone)
        try:
            yield
        finally:
            self._leave(run)

    @contextmanager
    def left(self, run: Hashable, go_on: Callable[[], None]) -> Iterator[None]:
        """Leave the place to others for a while; nothing happens to a run that has none."""
        alone = self._leave(run)
        yield
        if alone is not None:
            self._enter(run, go_on, alone=alone)

    def _enter(self, run: Hashable, go_on: Callable[[], None], *, alone: bool) -> None:
        with self._changed:
            self._suspects_waiting += alone
            try:
                while not self._has_room(alone=alone):
                    self._changed.wait(_LOOK_SECONDS)
                    go_on()
                self._inside[run] = alone
            finally:
                self._suspects_waiting -= alone

    def _leave(self, run: Hashable) -> bool | None:
        with self._changed:
            alone = self._inside.pop(run, None)
            self._changed.notify_all()
            return alone

    def _has_room(self, *, alone: bool) -> bool:
        if alone:
            return not self._inside
        # Who comes later does not keep a suspect waiting for ever.
        return not self._suspects_waiting and not any(self._inside.values())
