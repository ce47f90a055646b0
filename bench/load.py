"""``make load``: many clients opened by many callers at once, then closed; who was held up, and
was each made exactly once.

Each caller asks for an area, follows its operation to the end, and asks for the next. Between them
go repetitions of requests, and requests that contradict others. Prints tables, writes
``bench/out/load.json``, and fails when a promise is broken.
"""

import argparse
import json
import os
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.callers import Load
from bench.leftovers import check_closed, check_open
from bench.watching import Watch
from engine.localaws import LocalAws
from tests.postgres import SETTINGS, new_database, running_server
from tests.service.workers.fleet import Fleet, fleet_on

OUT = Path("bench/out/load.json")
SHAPES = ("apart", "one process", "sqlite")
DURABLE = {**SETTINGS, "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
P99_MS = 250.0
"""How long a caller waits at most, in 99 of 100 cases, until its wish is accepted."""
GROWTH = 1.1
"""How many times its memory a process may have at the end, of what it had with all areas open."""


def main() -> None:
    """Run the load on each shape and report it; status 1 when a promise was broken.

    How long callers wait is promised where API and worker run apart only.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--parallel", type=int, default=4, help="operations at once, a worker")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES[:2]))
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(2**32)
    console = Console(highlight=False)
    console.print(f"seed {seed}")
    report: dict[str, Any] = {"seed": seed, "machine": {"cpus": os.cpu_count()}, "shapes": {}}
    for shape in options.shapes:
        with console.status(f"{shape}: {options.clients} clients …"):
            found = run(shape, options.clients, options.callers, options.parallel, seed)
        report["shapes"][shape] = found
        tell(console, shape, found)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"Written to {OUT}")
    if any(found["broken"] or found["grew"] for found in report["shapes"].values()):
        sys.exit(1)
    if not report["shapes"].get("apart", {"within_aim": True})["within_aim"]:
        sys.exit(1)


def run(
    shape: str, clients: int, callers: int, parallel: int, seed: int, module: str = "service"
) -> dict[str, Any]:
    """Open and close so many clients on a service of this shape; return the figures.

    ``module`` is the program that its processes run.
    """
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        with (
            LocalAws.start(folder / "aws") as aws,
            _database(shape, folder) as url,
            fleet_on(folder, url, aws, module) as fleet,
        ):
            pids = _start(fleet, shape, parallel)
            return _measured(fleet, pids, Load(fleet, clients, callers, random.Random(seed)))


@contextmanager
def _database(shape: str, folder: Path) -> Iterator[str]:
    if shape == "sqlite":
        yield f"sqlite:///{folder / 'handover.db'}"
        return
    with running_server(DURABLE) as server, new_database(server) as url:
        yield url


def _start(fleet: Fleet, shape: str, parallel: int) -> dict[str, int]:
    changes = {
        "HANDOVER_IAM_USER_QUOTA": "100000",
        "HANDOVER_PARALLEL_OPERATIONS": str(parallel),
        "HANDOVER_LOG_LEVEL": "warning",
    }
    if shape != "apart":
        return {"service": fleet.serve(changes=changes, worker=True).pid}
    api = fleet.serve(changes=changes)
    return {"api": api.pid, "worker": fleet.worker("load", changes=changes).pid}


def _measured(fleet: Fleet, pids: dict[str, int], load: Load) -> dict[str, Any]:
    with Watch(pids) as watch:
        opened = load.open_all()
        watch.mark("half")
        broken = check_open(fleet, load.slugs)
        closed = load.close_all()
    broken += check_closed(fleet, load.slugs)
    slow = max(opened["accepted_p99_ms"], closed["accepted_p99_ms"])
    return {
        "clients": len(load.slugs),
        "callers": load.callers,
        "open": opened,
        "close": closed,
        "memory_mb": watch.memory(),
        "grew": watch.grown(GROWTH),
        "within_aim": slow < P99_MS,
        "broken": broken,
    }


def tell(console: Console, shape: str, found: dict[str, Any]) -> None:
    """Print the figures of one shape."""
    title = f"{shape}: {found['clients']} clients, {found['callers']} callers"
    table = Table("", "opening", "closing", title=title)
    for name in found["open"]:
        table.add_row(name.replace("_", " "), str(found["open"][name]), str(found["close"][name]))
    console.print(table)
    for process, figures in found["memory_mb"].items():
        console.print(f"memory of {process}, MB: {figures}")
    aim = "within" if found["within_aim"] else "over"
    console.print(
        f"99 of 100 accepted {aim} {P99_MS:.0f} ms; broken promises: {found['broken'] or 0}"
    )
    if found["grew"]:
        console.print(f"memory is not flat: {', '.join(found['grew'])}")


if __name__ == "__main__":
    main()
