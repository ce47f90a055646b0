"""Who works at once: all side by side, a suspect alone, and who waits is in nobody's way."""

import threading
from collections.abc import Callable, Iterator

import pytest

from service.worker.floor import Floor

PATIENCE = 30.0


def go_on() -> None:
    """Wait on."""


class Visitor:
    """A thread that holds a place until it is let go."""

    def __init__(self, floor: Floor, name: str, *, alone: bool) -> None:
        self.inside, self.let_go = threading.Event(), threading.Event()
        self._floor, self._name, self._alone = floor, name, alone
        self.thread = threading.Thread(target=self._visit)
        self.thread.start()

    def _visit(self) -> None:
        with self._floor.place(self._name, go_on, alone=self._alone):
            self.inside.set()
            assert self.let_go.wait(PATIENCE)


Visit = Callable[..., Visitor]


@pytest.fixture
def floor() -> Floor:
    """An empty floor."""
    return Floor()


@pytest.fixture
def visit(floor: Floor) -> Iterator[Visit]:
    """Starts visitors, who leave at the end."""
    visitors: list[Visitor] = []

    def start(name: str, *, alone: bool = False) -> Visitor:
        visitors.append(Visitor(floor, name, alone=alone))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.let_go.set()
    for visitor in visitors:
        visitor.thread.join(PATIENCE)


def waits(visitor: Visitor) -> bool:
    """Tell whether it has not come in, a moment after it might have."""
    return not visitor.inside.wait(0.3)


def test_a_suspect_waits_until_it_is_alone_and_keeps_others_out(floor: Floor, visit: Visit) -> None:
    first, second = visit("first"), visit("second")
    assert first.inside.wait(PATIENCE)
    assert second.inside.wait(PATIENCE)
    suspect = visit("suspect", alone=True)
    assert waits(suspect)
    first.let_go.set()
    assert waits(suspect)
    later = visit("later")
    assert waits(later)
    second.let_go.set()
    assert suspect.inside.wait(PATIENCE)
    assert waits(later)
    assert waits(visit("other suspect", alone=True))


def test_who_waits_leaves_its_place_to_others(floor: Floor, visit: Visit) -> None:
    with floor.place("mine", go_on, alone=False):
        with floor.left("mine", go_on):
            suspect = visit("suspect", alone=True)
            assert suspect.inside.wait(PATIENCE)
            suspect.let_go.set()
        assert waits(visit("next suspect", alone=True))


def test_one_that_has_to_stop_waits_no_longer(floor: Floor, visit: Visit) -> None:
    assert visit("first").inside.wait(PATIENCE)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError), floor.place("suspect", stop, alone=True):
        pass
    assert visit("second").inside.wait(PATIENCE)


def test_a_run_without_a_place_may_wait_as_well(floor: Floor, visit: Visit) -> None:
    """Steps that are driven by hand have none."""
    with floor.left("nobody", go_on):
        pass
    assert visit("suspect", alone=True).inside.wait(PATIENCE)
