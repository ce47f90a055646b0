"""Many runs, in several worlds side by side: tallies of what was hit, and what did not hold."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.invariants import broken_everywhere
from tests.chaos.points import REQUEST, Point
from tests.chaos.run import (
    MOST_FAULTS,
    Catalogue,
    Planned,
    Result,
    by_seed,
    carry_out,
    chains,
    explore,
    on_postgresql,
)
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World

LOOK_EVERY = 25
"""Runs between looks at the account as a whole."""


@dataclass
class Tally:
    """What the runs came to."""

    points: list[Point]
    hits: Counter[Point] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, result: Result) -> None:
        """Count one run."""
        with self._lock:
            self.runs += 1
            self.seconds += result.seconds
            for hit in result.hits:
                self.hits[hit.point] += 1
                self.faults[hit.fault] += 1
            if result.problems:
                self.failures.append(str(result))

    def fail(self, problems: Iterable[str]) -> None:
        """Note what does not hold of an account as a whole."""
        with self._lock:
            self.failures += problems

    @property
    def never_hit(self) -> list[Point]:
        """The points at which nothing ever happened."""
        return [point for point in self.points if not self.hits[point]]

    def table(self) -> str:
        """Hits per point, and the sums."""
        width = max(len(str(point)) for point in self.points)
        lines = [f"{point!s:<{width}}  {self.hits[point]:>5}" for point in self.points]
        return "\n".join([*lines, self.sums()])

    def sums(self) -> str:
        """The sums, and what failed."""
        faults = ", ".join(f"{count} {fault}" for fault, count in sorted(self.faults.items()))
        lines = [
            f"{self.runs} runs, {sum(self.hits.values())} faults: {faults or 'none'}",
            f"{len(self.never_hit)} points never hit, {len(self.failures)} failures",
        ]
        return "\n".join([*lines, *(f"FAILED {it}" for it in self.failures)])

    def document(self, seed: int) -> dict[str, Any]:
        """The same for programs."""
        return {
            "seed": seed,
            "runs": self.runs,
            "operations_lost": len(self.failures),
            "faults": dict(sorted(self.faults.items())),
            "hits": {str(point): self.hits[point] for point in self.points},
            "never_hit": [str(point) for point in self.never_hit],
            "failures": self.failures,
            "seconds": round(self.seconds, 1),
        }


Runner = Callable[[World], Result]
Work = tuple[World, Iterable[Runner]]
"""A world, and what it is to go through, one after the other."""


def explore_all(world: World, names: Iterable[str] = tuple(SCENARIOS)) -> list[Catalogue]:
    """Do each kind of work once without a fault, to learn its points."""
    return [explore(world, name) for name in names]


def tally_of(catalogues: Sequence[Catalogue]) -> Tally:
    """An empty tally of all points."""
    return Tally([point for catalogue in catalogues for point in catalogue.points])


def seeded(catalogues: Sequence[Catalogue], seed: int) -> Runner:
    """The run that a seed stands for."""

    def run(world: World) -> Result:
        faults = by_seed(catalogues, seed)
        return carry_out(world, f"seed-{seed}", faults[0].point.kind, faults)

    return run


def of_seeds(world: World, catalogues: Sequence[Catalogue], seeds: range) -> Iterator[Runner]:
    """The runs of those of the seeds that belong to the world; tells how far it has come."""
    mine = [seed for seed in seeds if on_postgresql(seed) is (world.database_url is not None)]
    for number, seed in enumerate(mine, start=1):
        yield seeded(catalogues, seed)
        if number % LOOK_EVERY == 0:
            print(f"{world.folder.name}: {number} of {len(mine)} runs", flush=True)


def meeting(name: str, faults: Sequence[Planned]) -> Runner:
    """The run of a client of this name that meets these faults."""
    kind = faults[0].point.kind
    slug = kind.replace(" ", "-")
    return lambda world: carry_out(world, f"{slug}-{name}", kind, faults)


def hit_the_rest(worlds: Sequence[World], tally: Tally) -> None:
    """Kill at each point that was never hit: several in one run, and alone where one was missed."""
    for length in (MOST_FAULTS, 1):
        runs = [
            meeting(f"rest-{length}-{number}", faults)
            for number, faults in enumerate(chains(tally.never_hit, length))
        ]
        share(runs, worlds, tally)


def at_each(worlds: Sequence[World], tally: Tally, fault: str) -> None:
    """Let the fault come at each point of the work itself, in a run of its own."""
    at_work = [point for point in tally.points if point.step != REQUEST]
    runs = [
        meeting(f"each-{number}", faults) for number, faults in enumerate(chains(at_work, 1, fault))
    ]
    share(runs, worlds, tally)


def share(runs: Sequence[Runner], worlds: Sequence[World], tally: Tally) -> None:
    """Carry out the runs, each in one of the worlds."""
    count = len(worlds)
    campaign([(world, runs[place::count]) for place, world in enumerate(worlds)], tally)


def campaign(works: Sequence[Work], tally: Tally) -> None:
    """Carry out the runs, the worlds side by side."""

    def work(world: World, runners: Iterable[Runner]) -> None:
        for done, run in enumerate(runners, start=1):
            tally.add(run(world))
            if done % LOOK_EVERY == 0:
                tally.fail(broken_everywhere(world))
        tally.fail(broken_everywhere(world))

    with ThreadPoolExecutor(len(works)) as pool:
        for worked in [pool.submit(work, *each) for each in works]:
            worked.result()


def write(tally: Tally, seed: int, file: Path) -> None:
    """Write the tally as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tally.document(seed), indent=2) + "\n")
