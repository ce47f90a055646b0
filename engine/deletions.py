"""Deleting in an order in which nothing is deleted before what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from engine.executor import StepFailedError
from engine.state import ResourceState
from engine.steps import Step


def levels(steps: Iterable[Step]) -> list[list[Step]]:
    """Group deletions so that all of a group may run at once, and each group after the one before.

    ``steps`` come in the order in which the resources were made.
    """
    depth: dict[ResourceState, int] = {}
    doomed = [step for step in steps if step.old is not None]
    needed_by: dict[str, int] = {}
    for step in reversed(doomed):
        state = step.state
        depth[state] = needed_by.get(state.urn, 0)
        for urn in state.references():
            needed_by[urn] = max(needed_by.get(urn, 0), depth[state] + 1)
    groups: list[list[Step]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for step in reversed(doomed):
        groups[depth[step.state]].append(step)
    return groups


def run_deletions(steps: Iterable[Step], run: Callable[[Step], object], *, parallel: int) -> bool:
    """Run deletions group by group; stops after a group in which one failed. True: all done."""
    return all(_run_group(group, run, parallel) for group in levels(steps))


def _run_group(group: list[Step], run: Callable[[Step], object], parallel: int) -> bool:
    def succeeded(step: Step) -> bool:
        try:
            run(step)
        except StepFailedError:
            return False
        return True

    with ThreadPoolExecutor(min(parallel, len(group))) as pool:
        results = list(pool.map(succeeded, group))
    return all(results)
