"""Hooks in a child process: they see each point go by, and do there what the run asks for.

Nothing of it is in the service's own code: plans, boto3's way out and the database session's
commits are wrapped, in the child only; on the official engine, boto3's in its AWS plugin as well.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import event
from sqlmodel import Session

from models.operations import OperationKind
from service.worker import beginning, plans
from tests.chaos.calls import Calls
from tests.chaos.points import AFTER, BEFORE, COMMIT, REQUEST, STEP, Point
from tests.chaos.scenarios import Scenario

KILL, LOST, ASK, SUSPEND = "kill", "lost", "ask", "suspend"
HEAD_START = 0.3
"""Seconds that a suspension gets before the work goes on. It may have to wait for the work itself,
where that is within a transaction."""
TRIES = 15
"""After so many deaths of its worker an operation is given up here, and not after five."""


@dataclass(frozen=True)
class Trigger:
    """What is to happen when a point goes by for the nth time: die, lose the answer, ask, or
    suspend the client.
    """

    point: Point
    fault: str
    nth: int = 1


@dataclass
class Watch:
    """What goes by, in order, and what is to happen where."""

    pipe: Connection
    trigger: Trigger | None
    scenario: Scenario
    suspend: Callable[[], None]
    kind: str = ""
    step: str = REQUEST
    seen: Counter[Point] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    suspension: threading.Thread | None = None

    def at(self, what: str, phase: str) -> bool:
        """A point goes by; tell whether the answer of the call there is to be lost."""
        if not self.kind:
            return False
        point = Point(self.kind, self.step, what, phase)
        with self.lock:
            self.seen[point] += 1
            due = self.trigger
            if due is None or due.point != point or self.seen[point] != due.nth:
                return False
            if due.fault == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            self.pipe.send(("hit", point))
            if due.fault == ASK:
                # The world outside is changed meanwhile; this thread holds still.
                self.pipe.recv()
        if due.fault == SUSPEND:
            # Its own calls and commits go by here too.
            self.suspension = threading.Thread(target=self.suspend, daemon=True)
            self.suspension.start()
            self.suspension.join(HEAD_START)
        return due.fault == LOST

    def denies(self, action: str) -> bool:
        """Tell whether AWS denies the call in the step that the work is in."""
        denied = self.scenario.denied
        return denied is not None and action == denied.action and denied.step in ("", self.step)

    def install(self) -> None:
        """Wrap plans, calls and commits of this process, and let it die often."""
        taking_up: Any = beginning
        taking_up.TRIES = TRIES
        for kind, plan in list(plans.PLANS.items()):
            self._wrap_plan(kind, plan)
        Calls(self.at, self.denies).install()
        event.listen(Session, "before_commit", lambda _: self.at(COMMIT, BEFORE))
        event.listen(Session, "after_commit", lambda _: self.at(COMMIT, AFTER))

    def _wrap_plan(self, kind: OperationKind, plan: plans.Plan) -> None:
        steps = tuple(
            replace(step, function=self._wrapped(step.name, step.function)) for step in plan.steps
        )
        ending = replace(
            plan.on_failure,
            function=self._wrapped(plan.on_failure.name, plan.on_failure.function),
        )
        known: Any = plans.PLANS
        known[kind] = replace(plan, steps=steps, on_failure=ending)

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            kind, self.step = self.kind, name
            self.at(STEP, BEFORE)
            result = function(*arguments)
            # A last step ends its operation, and the next one may have been asked for already.
            if self.kind == kind:
                self.at(STEP, AFTER)
            return result

        return step
