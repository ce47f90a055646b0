"""The process that may be killed at any point: the service's real parts, and a caller in it."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from engine import secrets
from models.operations import Operation, OperationKind
from service.assembly import running
from service.context import Services
from service.local import local_settings
from stacks.backend import EngineKind
from tests.chaos.asking import ask, operation_of, spoil, suspend
from tests.chaos.hooks import Trigger, Watch
from tests.chaos.plugin import listen
from tests.chaos.points import REQUEST, Point
from tests.chaos.scenarios import SCENARIOS

PATIENCE = 90.0
"""Seconds after which an operation that has not ended counts as lost."""
STUCK, DONE = 3, 0


WHOLE, API, WORKER = "whole", "api", "worker"
"""What a process is: all of a service, its API alone, or a worker alone."""


@dataclass(frozen=True)
class Spec:
    """What one child is to do; sent to it whole."""

    folder: Path
    environment: dict[str, str] = field(repr=False)
    token: str = field(repr=False)
    scenario: str
    slug: str
    trigger: Trigger | None = None
    database_url: str | None = None
    derived: dict[tuple[str, bytes], bytes] = field(default_factory=dict, repr=False)
    """The key of the stacks' secrets, whose derivation takes a third of a second a process."""
    part: str = WHOLE
    engine: EngineKind = "embedded"


def main(spec: Spec, pipe: Connection) -> None:
    """Ask for what is not asked for yet, wait until all has ended, tell what went by, and end.

    Started again after it was killed it goes on, as a caller does who repeats its request.
    """
    logging.basicConfig(filename=spec.folder / "logs" / "service.log", force=True)
    scenario = SCENARIOS[spec.scenario]
    watch = Watch(pipe, spec.trigger, scenario, lambda: suspend(services, spec.token, spec.slug))
    watch.install()
    if spec.engine == "official":
        listen(watch.at, scenario.denied.action if scenario.denied else "")
    secrets._keys.update(spec.derived)
    changes = {"database_url": spec.database_url, "engine": spec.engine}
    settings = local_settings(spec.folder).model_copy(update=changes)
    with running(settings, spec.environment, worker=spec.part != API) as runtime:
        services = runtime.services
        for kind in scenario.actions:
            asked = operation_of(services, spec.slug, kind) is not None or spec.part == WORKER
            if kind is OperationKind.repair and not asked:
                spoil(services, spec.slug)
            last = kind is scenario.actions[-1]
            watch.kind, watch.step = (scenario.name if last else ""), REQUEST
            if not asked:
                ask(services, spec.token, scenario, spec.slug, kind)
            if not _ended(services, spec.slug, kind):
                os._exit(STUCK)
        watch.kind = ""
        if watch.suspension is not None:
            watch.suspension.join()
        pipe.send(("done", _in_order(watch.seen)))
        # No orderly stop: what has ended must stay so without one.
        os._exit(DONE)


def _in_order(seen: Counter[Point]) -> list[tuple[Point, int]]:
    return list(seen.items())


def _ended(services: Services, slug: str, kind: OperationKind) -> bool:
    return _waited(lambda: _is_finished(operation_of(services, slug, kind)))


def _is_finished(operation: Operation | None) -> bool:
    return operation is not None and operation.finished_at is not None


def _waited(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.04)
    return True
