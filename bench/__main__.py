"""``make bench``: prints tables and writes ``bench/out/bench.json``; about five minutes."""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.engines import Engines, compare
from bench.records import pdf_memory_mb, pdf_times
from bench.timing import Times, measure
from bench.world import World, bare_calls
from service.demo.process import service_process

OUT = Path("bench/out/bench.json")
SIZES = (10, 1000, 4900)
AIMS = {"up": 4.0, "post": 8.0, "flat": 1.2, "pdf_ms": 60.0, "memory_mb": 250.0}


def main() -> None:
    """Run all measurements and report them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="runs of each figure")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="clients there already")
    options = parser.parse_args()
    console = Console(highlight=False)
    report: dict[str, Any] = {"machine": platform.machine(), "python": platform.python_version()}
    before = _temporary()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data = Path(folder) / "data"
        begun = time.perf_counter()
        # The bench makes more users than AWS would hold, without a quota in its way.
        with service_process(data, {"HANDOVER_IAM_USER_QUOTA": "100000"}) as served:
            report["start_up_s"] = round(time.perf_counter() - begun, 2)
            world = World(served, data)
            report["sizes"] = _sizes(console, world, options.sizes, options.runs)
            report["service_memory_mb"] = _memory_mb(served.pid)
    with tempfile.TemporaryDirectory(prefix="bench-engines-") as folder:
        report["engines"] = compare(Path(folder))
    report["pdf"] = pdf_times(options.runs * 5).as_dict()
    report["pdf_1000_grow_mb"] = pdf_memory_mb()
    report["temporary_left"] = sorted(_temporary() - before)
    _tell(console, report)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"Written to {OUT}")


def _sizes(
    console: Console, world: World, sizes: tuple[int, ...], runs: int
) -> dict[str, dict[str, Any]]:
    engines = Engines(world)
    results = {}
    for size in sizes:
        with console.status(f"{size} clients …"):
            world.fill(size)
            results[str(size)] = {
                f"{name}_{'16' if at_once > 1 else '1'}": times.as_dict()
                for at_once in (1, 16)
                for name, times in _side_by_side(world, engines, size, runs, at_once).items()
            }
    return results


def _side_by_side(
    world: World, engines: Engines, size: int, runs: int, at_once: int
) -> dict[str, Times]:
    """Measure the bare calls, ``up`` and POST in one go, so that they meet the same machine."""
    iam, s3, http = world.aws("iam"), world.aws("s3"), world.http()
    tag = f"{size}-{at_once}"
    numbers = range(runs if at_once == 1 else max(runs, 3 * at_once))
    bare_calls(iam, s3, f"Warm-{tag}")
    results = {
        "bare": measure(lambda n: bare_calls(iam, s3, f"Bare-{tag}-{n}"), numbers, at_once=at_once),
        **engines.measure(tag, numbers, at_once),
    }
    _post(http, f"Warm post {tag}")
    results["post"] = measure(lambda n: _post(http, f"Post {tag} {n}"), numbers, at_once=at_once)
    http.close()
    return results


def _post(http: Any, name: str) -> None:
    request = {
        "legal_name": name,
        "purpose": "to be measured",
        "data_categories": ["images"],
        "contract": {
            "kind": "customer",
            "reference": name,
            "signed_on": "2026-01-15",
            "jurisdiction": "ES",
            "signer": {"full_name": "Ada Lovelace", "email": "ada@example.org"},
        },
    }
    answer = http.post("/v1/clients", json=request, headers={"Prefer": "wait=60"})
    if answer.status_code != 201:
        raise RuntimeError(f"{name}: {answer.status_code} {answer.text}")


def _memory_mb(pid: int) -> float:
    return round(psutil.Process(pid).memory_info().rss / 1e6, 1)


def _temporary() -> set[str]:
    patterns = ("automation-*", "pulumi-*", "handover-*")
    root = Path(tempfile.gettempdir())
    return {found.name for pattern in patterns for found in root.glob(pattern)}


def _tell(console: Console, report: dict[str, Any]) -> None:
    table = Table("clients there", "what", "median ms", "p90 ms", "a second", "× bare")
    for size, figures in report["sizes"].items():
        for name, times in figures.items():
            what, at_once = name.rsplit("_", 1)
            ratio = times["median_ms"] / figures[f"bare_{at_once}"]["median_ms"]
            table.add_row(
                size,
                f"{what}, {at_once} at once",
                f"{times['median_ms']:.1f}",
                f"{times['p90_ms']:.1f}",
                f"{times['per_second']:.1f}",
                f"{ratio:.2f}",
            )
    console.print(table)
    sizes = list(report["sizes"])
    for what in ("bare_1", "up embedded_1", "post_1"):
        first, last = (report["sizes"][size][what]["median_ms"] for size in (sizes[0], sizes[-1]))
        console.print(f"{what}: × {last / first:.2f} from {sizes[0]} to {sizes[-1]} clients")
    for kind, figures in report["engines"].items():
        told = ", ".join(f"{name} {value}" for name, value in figures.items())
        console.print(f"{kind} engine, stacks of users: {told}")
    console.print(
        f"PDF {report['pdf']['median_ms']:.1f} ms (aim {AIMS['pdf_ms']:.0f}), "
        f"{report['pdf_1000_grow_mb']} MB more after 1,000; "
        f"service {report['service_memory_mb']} MB (aim {AIMS['memory_mb']:.0f}); "
        f"start-up {report['start_up_s']} s; "
        f"temporary folders left: {len(report['temporary_left'])}"
    )


if __name__ == "__main__":
    main()
