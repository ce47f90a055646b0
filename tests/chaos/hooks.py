"""Hooks in a child process: they see each point go by, and do there what the run asks for.

Nothing of it is in the service's own code: plans, boto3's way out and the database session's
commits are wrapped, in the child only.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

import botocore.endpoint
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from sqlalchemy import event
from sqlmodel import Session

from models.operations import OperationKind
from service.worker import plans
from tests.chaos.points import AFTER, BEFORE, COMMIT, READING, REQUEST, STEP, Point
from tests.faults.calls import parse, refusal

KILL, LOST, ASK = "kill", "lost", "ask"


@dataclass(frozen=True)
class Trigger:
    """What is to happen when a point goes by for the nth time: die, lose the answer, ask."""

    point: Point
    fault: str
    nth: int = 1


@dataclass
class Watch:
    """What goes by, in order, and what is to happen where."""

    pipe: Connection
    trigger: Trigger | None
    denied: str = ""
    kind: str = ""
    step: str = REQUEST
    seen: Counter[Point] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

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
        return due.fault == LOST

    def install(self) -> None:
        """Wrap plans, calls and commits of this process."""
        for kind, plan in list(plans.PLANS.items()):
            self._wrap_plan(kind, plan)
        way_out: Any = botocore.endpoint.Endpoint
        send, watch = way_out._send, self

        def watched(endpoint: Any, request: Any) -> Any:
            return watch.call(request, lambda: send(endpoint, request))

        way_out._send = watched
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
            self.step = name
            self.at(STEP, BEFORE)
            result = function(*arguments)
            self.at(STEP, AFTER)
            return result

        return step

    def call(self, request: Any, send: Callable[[], Any]) -> Any:
        """One request to AWS, with a point before it is sent and one after its answer."""
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        body = _text(request.body).encode() if isinstance(request.body, (bytes, str)) else b""
        target = "/" + request.url.split("/", 3)[3]
        call = parse(request.method, target, headers, body)
        if self.denied and call.action == self.denied:
            return _denied(request.url, call.service)
        self.at(call.action, BEFORE)
        answer = send()
        if not call.action.startswith(READING) and self.at(call.action, AFTER):
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def _denied(url: str, service: str) -> AWSResponse:
    answer = refusal(service, 403, "AccessDenied", "the run denies it")
    headers: Any = dict(answer.headers)
    return AWSResponse(url, answer.status, headers, _Raw(answer.body))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
