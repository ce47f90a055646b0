"""Timing that can be trusted on a noisy machine: many runs, medians, several threads at once."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Times:
    """Milliseconds a run: median, 90th percentile, and the mean rate of all runs together."""

    runs: int
    median_ms: float
    p90_ms: float
    per_second: float

    def as_dict(self) -> dict[str, float]:
        """Return the figures for the JSON file."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def measure(run: Callable[[int], object], numbers: range, *, at_once: int = 1) -> Times:
    """Run the function once for each number, ``at_once`` of them at a time, and time each."""

    def timed(number: int) -> float:
        begun = time.perf_counter()
        run(number)
        return (time.perf_counter() - begun) * 1000

    begun = time.perf_counter()
    if at_once == 1:
        times = [timed(number) for number in numbers]
    else:
        with ThreadPoolExecutor(at_once) as pool:
            times = list(pool.map(timed, numbers))
    whole = time.perf_counter() - begun
    return summary(times, whole)


def summary(times: list[float], whole_seconds: float) -> Times:
    """Return the figures of some runs."""
    ordered = sorted(times)
    return Times(
        runs=len(times),
        median_ms=statistics.median(ordered),
        p90_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))],
        per_second=len(times) / whole_seconds,
    )
