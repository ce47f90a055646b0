"""``up`` of the client program through the Automation API, on each engine that is there."""

import json
import resource
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi_aws as aws

from bench.timing import Times, measure
from bench.world import BUCKET, GROUP, REGION, World
from engine.localaws import LocalAws
from stacks.automation import Stacks
from stacks.backend import Backend, EngineKind, official_program
from stacks.client import AreaInputs, ClientProgram, KeyGeneration


class Engines:
    """The engines, on a file backend beside the service's own."""

    def __init__(self, world: World) -> None:
        kinds: tuple[EngineKind, ...] = (
            ("embedded", "official") if official_program() else ("embedded",)
        )
        root = world.data.parent
        self._stacks = {kind: _stacks(kind, root, world) for kind in kinds}

    def measure(self, tag: str, numbers: range, at_once: int) -> dict[str, Times]:
        """Time ``up`` of new stacks; the official program gets fewer runs, as it is slow."""
        results = {}
        for kind, stacks in self._stacks.items():
            stacks.up(ClientProgram(area(f"Warm-{kind}-{tag}")))
            some = numbers if kind == "embedded" else numbers[: 2 * at_once + 1]
            results[f"up {kind}"] = measure(
                lambda n, stacks=stacks, kind=kind: stacks.up(  # type: ignore[misc]
                    ClientProgram(area(f"Up-{kind}-{tag}-{n}"))
                ),
                some,
                at_once=at_once,
            )
        return results


def area(slug: str) -> AreaInputs:
    """Return the inputs of a new area."""
    return AreaInputs(
        client_id=slug,
        slug=slug,
        bucket=BUCKET,
        region=REGION,
        group=GROUP,
        boundary_arn="arn:aws:iam::000000000000:policy/handover-client-boundary",
        profile="hardened",
        keys=(KeyGeneration(1),),
    )


def _stacks(kind: EngineKind, root: Path, world: World) -> Stacks:
    state = root / ("state" if kind == "embedded" else f"state-{kind}")
    state.mkdir(exist_ok=True)
    return Stacks(
        Backend(
            url=f"file://{state}",
            engine=kind,
            environment=world.environment(),
            passphrase="bench",
            work_directory=root / f"work-{kind}",
        )
    )


@dataclass
class Users:
    """A stack of ``count`` users."""

    stack_name: str
    count: int
    project_name: str = "bench-users"

    def __call__(self) -> None:
        """Declare them."""
        for number in range(self.count):
            aws.iam.User(f"user-{number}", name=f"{self.stack_name}-{number}")


SIZES = (5, 50, 200)


def compare(directory: Path) -> dict[str, Any]:
    """Both engines on one local AWS and one provider: cold and warm, 1 and 16 at once, by size.

    Milliseconds, and megabytes at most: of this process for the embedded engine, of the largest
    program that it started for the official one.
    """
    report: dict[str, Any] = {}
    with LocalAws.start(directory / "aws") as local:
        kinds: tuple[EngineKind, ...] = ("embedded", "official")
        for kind in kinds if official_program() else kinds[:1]:
            backend = Backend(
                url=f"file://{directory / kind}",
                engine=kind,
                environment=local.environment(),
                passphrase="bench",
                work_directory=directory / f"work-{kind}",
            )
            (directory / kind).mkdir()
            report[kind] = _figures(Stacks(backend), kind)
    return report


def _figures(stacks: Stacks, kind: str) -> dict[str, Any]:
    few = kind == "official"
    figures: dict[str, Any] = {"cold_ms": _up(stacks, f"{kind}-cold", 5)}
    runs = range(3 if few else 30)
    figures["warm_ms"] = statistics.median(_up(stacks, f"{kind}-w{n}", 5) for n in runs)
    names = [f"{kind}-s{n}" for n in range(16 if few else 64)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: _up(stacks, name, 5), names))
    figures["16_at_once_ms_each"] = (time.perf_counter() - begun) * 1000 / len(names)
    for size in SIZES:
        figures[f"{size}_users_ms_each"] = _up(stacks, f"{kind}-n{size}", size) / size
    who = resource.RUSAGE_CHILDREN if few else resource.RUSAGE_SELF
    figures["memory_mb"] = resource.getrusage(who).ru_maxrss / 1000
    return {name: round(value, 1) for name, value in figures.items()}


def _up(stacks: Stacks, name: str, count: int) -> float:
    begun = time.perf_counter()
    stacks.up(Users(name, count))
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="handover-bench-") as folder:
        print(json.dumps(compare(Path(folder)), indent=2))
