"""`python -m tests.chaos`: seeded fault runs with real processes, killed and lied to.

Each run is made by its own seed and can be run alone: `--only SEED`. Even seeds run on SQLite, odd
ones on PostgreSQL.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.campaign import (
    Runner,
    campaign,
    explore_all,
    hit_the_rest,
    seeded,
    tally_of,
    write,
)
from tests.chaos.run import Catalogue, by_seed, carry_out, on_postgresql
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World, world
from tests.postgres import running_server

REPORT = Path("bench/out/chaos.json")
TOLD_EVERY = 25


def main() -> int:
    """Run as asked; 1 when something does not hold or a point was never hit."""
    options = _options()
    with _worlds() as worlds:
        catalogues = explore_all(worlds[0], options.kind or SCENARIOS)
        if options.only is not None:
            return _alone(worlds, catalogues, options.only)
        print(f"seed {options.seed}: {options.runs} runs", flush=True)
        tally = tally_of(catalogues)
        seeds = range(options.seed, options.seed + options.runs)
        campaign([(it, _of(it, catalogues, seeds)) for it in worlds], tally)
        hit_the_rest(worlds[0], tally)
    print(tally.table())
    write(tally, options.seed, REPORT)
    return 1 if tally.failures or tally.never_hit else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000))  # noqa: S311
    parser.add_argument("--only", type=int, help="run this one seed and tell what it does")
    parser.add_argument("--kind", action="append", choices=list(SCENARIOS))
    return parser.parse_args()


@contextmanager
def _worlds() -> Iterator[list[World]]:
    """One world on SQLite and one on PostgreSQL."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="handover-chaos-")))
        server = stack.enter_context(running_server())
        yield [
            stack.enter_context(world(root / "sqlite")),
            stack.enter_context(world(root / "postgresql", server.url("postgres"))),
        ]


def _of(world: World, catalogues: Sequence[Catalogue], seeds: Sequence[int]) -> Iterator[Runner]:
    mine = [seed for seed in seeds if on_postgresql(seed) is (world.database_url is not None)]
    for number, seed in enumerate(mine, start=1):
        yield seeded(catalogues, seed)
        if number % TOLD_EVERY == 0:
            print(f"{world.folder.name}: {number} of {len(mine)} runs", flush=True)


def _alone(worlds: Sequence[World], catalogues: Sequence[Catalogue], seed: int) -> int:
    faults = by_seed(catalogues, seed)
    world = worlds[on_postgresql(seed)]
    result = carry_out(world, f"seed-{seed}", faults[0].point.kind, faults)
    print(result)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
