"""One run: a client, a kind of work, and faults at chosen points, until it has ended; then a look.

A run is made by a seed, or by points that are to be hit.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.hooks import ASK, KILL, LOST, SUSPEND, Trigger
from tests.chaos.invariants import broken
from tests.chaos.points import AFTER, REQUEST, Point
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.world import Outside, World

FREEZE, RESTART, CUT, APART = "freeze", "restart", "cut", "kill the api"
ENGINE_KILL = "kill the engine"
MOST_FAULTS = 8
"""In one run; fewer than `hooks.TRIES`."""


@dataclass(frozen=True)
class Planned:
    """A fault that a run is to meet at a point."""

    point: Point
    fault: str
    nth: int = 1

    def trigger(self) -> Trigger:
        """What the process is told; it asks, where the fault comes from outside."""
        inside = self.fault in (KILL, LOST, SUSPEND)
        return Trigger(self.point, self.fault if inside else ASK, self.nth)

    def outside(self, world: World) -> Outside:
        """What is done to the world while the process holds still."""
        faults: dict[str, Outside] = {
            FREEZE: lambda _: world.freeze(),
            RESTART: lambda _: world.restart(),
            CUT: lambda _: world.cut_database(),
            ENGINE_KILL: world.kill_engine,
        }
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


def explore(world: World, name: str) -> Catalogue:
    """Do the work once without a fault and note what goes by; raises `AssertionError`."""
    scenario = SCENARIOS[name]
    slug = f"{name.replace(' ', '-')}-plain"
    life = world.live(name, slug)
    assert life.exit_code == 0, f"{name} without a fault ended with {life.exit_code}"
    assert not (found := broken(world, scenario, slug)), found
    points = {point: times for point, times in life.seen if scenario.is_its_own(point)}
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
    if point.step != REQUEST:
        faults += [SUSPEND] * 2
    if point.is_call and point.phase == AFTER:
        faults += [LOST] * 3
    if point.is_in_engine:
        faults += [ENGINE_KILL] * 8
    if several:
        faults += [CUT] * 3
        faults += [APART] * 2 if point.step != REQUEST else []
    return chance.choice(faults)


def chains(
    points: Sequence[Point], length: int = MOST_FAULTS, fault: str = KILL
) -> list[list[Planned]]:
    """The fault at each point, up to so many in one run of their kind, in their order.

    Far apart, so that what goes by once only is not yet past when the work begins anew.
    """
    runs: list[list[Planned]] = []
    for kind in dict.fromkeys(point.kind for point in points):
        mine = [Planned(point, fault) for point in points if point.kind == kind]
        count = -(-len(mine) // length)
        runs += [mine[offset::count] for offset in range(count)]
    return runs


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


def _nothing(_service: int) -> None:
    """Leave the world as it is."""
