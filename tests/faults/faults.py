"""Faults, and the rules that say which calls they hit: by name, by count, or by seeded chance."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.calls import Call


@dataclass(frozen=True)
class Refuse:
    """Answer with a refusal; the call does not reach AWS."""

    status: int
    code: str
    message: str = "injected"


@dataclass(frozen=True)
class Silent:
    """Never answer; the call does not reach AWS."""


@dataclass(frozen=True)
class Reset:
    """Reset the connection, before the call reaches AWS or after it took effect."""

    after: bool = False


@dataclass(frozen=True)
class Slow:
    """Answer, but so many seconds later."""

    seconds: float


@dataclass(frozen=True)
class Tell:
    """Tell the test, before the call reaches AWS or after it took effect; then go on."""

    hook: Callable[[Call], None]
    after: bool = False


Fault = Refuse | Silent | Reset | Slow | Tell

THROTTLED = Refuse(400, "Throttling", "Rate exceeded")
SLOW_DOWN = Refuse(503, "SlowDown", "Please reduce your request rate.")
INTERNAL_FAILURE = Refuse(500, "InternalFailure")
UNAVAILABLE = Refuse(503, "ServiceUnavailable")
DENIED = Refuse(403, "AccessDenied", "not authorized to perform the action")
LOST_ANSWER = Reset(after=True)


@dataclass
class Rule:
    """Inject a fault into calls of an action (`*`: any).

    `first` and `times` count matching calls from 1; `chance` is drawn for each of those.
    """

    action: str
    fault: Fault
    first: int = 1
    times: int = 1_000_000
    chance: float = 1.0
    seen: int = 0
    hits: int = 0


@dataclass
class Rules:
    """The rules in force; safe to use from several threads. The seed decides all chances."""

    seed: int = 0
    rules: list[Rule] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Seed the generator."""
        self._random = random.Random(self.seed)  # noqa: S311  # reproducible, no secret
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force and return it, so that its hits can be counted."""
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Let every call through."""
        with self._lock:
            self.rules.clear()

    def fault_for(self, call: Call) -> Fault | None:
        """The fault for a call, of the first rule that wants it."""
        with self._lock:
            for rule in self.rules:
                if rule.action in ("*", call.action) and self._wants(rule):
                    rule.hits += 1
                    return rule.fault
        return None

    def _wants(self, rule: Rule) -> bool:
        rule.seen += 1
        due = rule.first <= rule.seen < rule.first + rule.times
        return due and self._random.random() < rule.chance
