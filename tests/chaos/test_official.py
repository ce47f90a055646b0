"""The official program under fire: its service is killed, and apart from that it itself is."""

from collections.abc import Iterator

import pytest

from tests.chaos.hooks import KILL
from tests.chaos.invariants import broken_everywhere
from tests.chaos.points import AFTER, BEFORE, ENGINE, PLUGIN, Point
from tests.chaos.run import ENGINE_KILL, Planned, carry_out, explore
from tests.chaos.world import World, world

pytestmark = [pytest.mark.official, pytest.mark.timeout(300)]

POINTS = [
    # The lock is taken, and nothing asked of AWS yet.
    Point("open", "make", PLUGIN, BEFORE),
    # The program that outlives the service makes the key.
    Point("open", "make", f"{ENGINE}CreateAccessKey", BEFORE),
    # Made, and never recorded.
    Point("open", "make", f"{ENGINE}CreateAccessKey", AFTER),
    Point("rotate", "apply", f"{ENGINE}CreateAccessKey", AFTER),
    Point("repair", "refresh", PLUGIN, BEFORE),
    Point("repair", "apply", f"{ENGINE}PutUserPolicy", AFTER),
    Point("close", "tear down", f"{ENGINE}DeleteAccessKey", AFTER),
]


@pytest.fixture(scope="module")
def official_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world on the official engine; what all its runs came to is looked at in the end."""
    with world(tmp_path_factory.mktemp("official") / "world", engine="official") as made:
        yield made
        assert broken_everywhere(made) == []


def test_its_points_are_seen(official_world: World) -> None:
    """Without a fault: the calls of its plugin have points, as the embedded engine's have."""
    points = explore(official_world, "open").points
    assert {point for point in POINTS if point.kind == "open"} <= set(points)


@pytest.mark.parametrize("fault", [KILL, ENGINE_KILL])
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_it_survives(official_world: World, point: Point, fault: str) -> None:
    """The operation ends by itself, once; no key, user, lock or program is left over."""
    name = f"{point.kind}-{POINTS.index(point)}-{fault.replace(' ', '-')}"
    result = carry_out(official_world, name, point.kind, [Planned(point, fault)])
    assert result.problems == [], result
    assert [hit.fault for hit in result.hits] == [fault]
    assert broken_everywhere(official_world) == []
