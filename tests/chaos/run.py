"""One run: a client, a kind of work, and faults at chosen points, until it has ended; then a look.

A run is made by a seed, or by points that are to be hit.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.hooks import ASK, KILL, LOST, Trigger
from tests.chaos.invariants import broken
from tests.chaos.points import AFTER, REQUEST, Point
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.world import World

FREEZE, RESTART, CUT, APART = "freeze", "restart", "cut", "kill the api"
MOST_FAULTS = 4
"""In one run: an operation is given up when its worker has died five times in it."""


@dataclass(frozen=True)
class Planned:
    """A fault that a run is to meet at a point."""

    point: Point
    fault: str
    nth: int = 1

    def trigger(self) -> Trigger:
        """What the process is told; it asks, where the fault comes from outside."""
        return Trigger(self.point, self.fault if self.fault in (KILL, LOST) else ASK, self.nth)

    def outside(self, world: World) -> Callable[[], None]:
        """What is done to the world while the process holds still."""
        faults = {FREEZE: world.freeze, RESTART: world.restart, CUT: world.cut_database}
        return faults.get(self.fault, _nothing)

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.fault} at {self.point}" + (f" ({self.nth}.)" if self.nth > 1 else "")


@dataclass
class Result:
    """How a run went; `problems` is empty when all that must hold does."""

    name: str
    scenario: str
    faults: Sequence[Planned]
    hits: list[Planned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        """What was done and what does not hold."""
        done = ", then ".join(map(str, self.faults))
        return f"{self.name} {self.scenario}: {done}: {'; '.join(self.problems) or 'all holds'}"


@dataclass
class Catalogue:
    """The points of one kind of work in the order in which they go by, with how often."""

    scenario: Scenario
    points: dict[Point, int]

    @property
    def distinct(self) -> list[Point]:
        """The points at which a process that is killed leaves something else than before."""
        return [point for point in self.points if not point.is_read]


def explore(world: World, name: str) -> Catalogue:
    """Do the work once without a fault and note what goes by; raises `AssertionError`."""
    scenario = SCENARIOS[name]
    slug = f"{name.replace(' ', '-')}-plain"
    life = world.live(name, slug)
    assert life.exit_code == 0, f"{name} without a fault ended with {life.exit_code}"
    assert not (found := broken(world, scenario, slug)), found
    points = dict(life.seen)
    missing = [point for point in scenario.planned() if point not in points]
    assert not missing, f"points of the plan that never went by: {missing}"
    return Catalogue(scenario, points)


def on_postgresql(seed: int) -> bool:
    """Tell whether the seed's run is one on PostgreSQL: every second one is."""
    return seed % 2 == 1


def by_seed(catalogues: Sequence[Catalogue], seed: int) -> list[Planned]:
    """Choose what a run with this seed meets: the same for the same seed and the same points."""
    several = on_postgresql(seed)
    chance = random.Random(seed)  # noqa: S311  # reproducible, no secret
    catalogue = chance.choice(catalogues)
    points = list(catalogue.points)
    count = chance.choices((1, 2, 3), weights=(6, 3, 1))[0]
    places = sorted(chance.sample(range(len(points)), min(count, len(points))))
    return [
        Planned(
            points[place],
            _fault_for(points[place], chance, several=several),
            chance.randint(1, catalogue.points[points[place]]),
        )
        for place in places
    ]


def _fault_for(point: Point, chance: random.Random, *, several: bool) -> str:
    """A fault that fits the point; on PostgreSQL (``several`` processes) there are more."""
    faults = [KILL] * 6 + [FREEZE, RESTART]
    if point.is_call and point.phase == AFTER:
        faults += [LOST] * 3
    if several:
        faults += [CUT] * 3
        faults += [APART] * 2 if point.step != REQUEST else []
    return chance.choice(faults)


def chains(catalogue: Catalogue, length: int = MOST_FAULTS) -> list[list[Planned]]:
    """Kills at every point that leaves something else, several in one run, in their order.

    Far apart, so that what goes by once only is not yet past when the work begins anew.
    """
    points = catalogue.distinct
    count = -(-len(points) // length)
    runs = [points[offset::count] for offset in range(count)]
    return [[Planned(point, KILL) for point in run] for run in runs]


def carry_out(world: World, name: str, scenario: str, faults: Sequence[Planned]) -> Result:
    """Do the work under faults, one process after the other, until it has ended; look at it."""
    result = Result(name, scenario, faults)
    began = time.monotonic()
    for planned in faults:
        if planned.fault == APART:
            life = world.live_apart(scenario, name, planned.trigger())
        else:
            life = world.live(scenario, name, planned.trigger(), planned.outside(world))
        if life.hit:
            result.hits.append(planned)
        if life.exit_code == 0:
            break
    else:
        life = world.live(scenario, name)
        if life.exit_code != 0:
            result.problems.append(f"without a fault the process ended with {life.exit_code}")
    result.problems += broken(world, SCENARIOS[scenario], name)
    result.seconds = time.monotonic() - began
    return result


def _nothing() -> None:
    """Leave the world as it is."""
