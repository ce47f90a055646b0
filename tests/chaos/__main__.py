"""`python -m tests.chaos`: seeded fault runs with real processes, killed and lied to.

Each run is made by its own seed and can be run alone: `--only SEED`. Even seeds run on SQLite, odd
ones on PostgreSQL; `--engine official` drives the official program, which must be on PATH.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stacks.backend import EngineKind, official_program
from tests.chaos.campaign import (
    at_each,
    campaign,
    explore_all,
    hit_the_rest,
    of_seeds,
    tally_of,
    write,
)
from tests.chaos.hooks import KILL, SUSPEND
from tests.chaos.run import Catalogue, by_seed, carry_out, on_postgresql
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World, world
from tests.postgres import running_server

REPORTS = {
    "embedded": Path("bench/out/chaos.json"),
    "official": Path("bench/out/chaos-official.json"),
}


def main() -> int:
    """Run as asked; 1 when something does not hold or a point was never hit."""
    options = _options()
    with _worlds(options.engine) as worlds:
        catalogues = explore_all(worlds[0], options.kind or SCENARIOS)
        if options.only is not None:
            return _alone(worlds, catalogues, options.only)
        tally = tally_of(catalogues)
        if options.each is not None:
            at_each(worlds, tally, options.each)
            print(tally.sums())
            return 1 if tally.failures else 0
        print(f"seed {options.seed}: {options.runs} runs", flush=True)
        seeds = range(options.seed, options.seed + options.runs)
        campaign([(it, of_seeds(it, catalogues, seeds)) for it in worlds], tally)
        print(f"{tally.sums()}\nnow a kill at each point that was missed", flush=True)
        hit_the_rest(worlds, tally)
    print(tally.table())
    write(tally, options.seed, REPORTS[options.engine])
    return 1 if tally.failures or tally.never_hit else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000))  # noqa: S311
    parser.add_argument("--only", type=int, help="run this one seed and tell what it does")
    parser.add_argument("--each", choices=[KILL, SUSPEND], help="this alone, once at each point")
    parser.add_argument("--kind", action="append", choices=list(SCENARIOS))
    parser.add_argument("--engine", choices=["embedded", "official"], default="embedded")
    options = parser.parse_args()
    if options.engine == "official" and official_program() is None:
        parser.error("the official pulumi program is not on PATH")
    return options


@contextmanager
def _worlds(engine: EngineKind) -> Iterator[list[World]]:
    """One world on SQLite and one on PostgreSQL."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="handover-chaos-")))
        server = stack.enter_context(running_server())
        yield [
            stack.enter_context(world(root / "sqlite", engine=engine)),
            stack.enter_context(world(root / "postgresql", server.url("postgres"), engine)),
        ]


def _alone(worlds: Sequence[World], catalogues: Sequence[Catalogue], seed: int) -> int:
    faults = by_seed(catalogues, seed)
    world = worlds[on_postgresql(seed)]
    result = carry_out(world, f"seed-{seed}", faults[0].point.kind, faults)
    print(result)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
