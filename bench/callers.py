"""Callers that ask for areas at once, repeat themselves and contradict each other."""

import itertools
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.service.workers.fleet import REASON, Fleet

REPEATED, CONTRADICTED = 0.25, 0.1
"""Parts of the requests that come twice, and that another one contradicts."""
_UNFINISHED = ("awaiting_approval", "pending", "running")
Answer = httpx.Response
Request = Callable[[httpx.Client], Answer]


@dataclass
class Figures:
    """What callers were told, and how long they waited for it, in milliseconds."""

    accepted: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def document(self, seconds: float) -> dict[str, Any]:
        """Return the figures for the report."""
        return {
            "accepted": len(self.accepted),
            "accepted_p50_ms": quantile(self.accepted, 0.5),
            "accepted_p99_ms": quantile(self.accepted, 0.99),
            "accepted_max_ms": quantile(self.accepted, 1.0),
            "others_p99_ms": quantile(self.others, 0.99),
            "answers": dict(sorted(self.answers.items())),
            "ended": dict(self.ended),
            "seconds": round(seconds, 1),
            "ended_per_second": round(sum(self.ended.values()) / seconds, 1),
        }


class Load:
    """So many callers that work off one list of requests."""

    def __init__(self, fleet: Fleet, clients: int, callers: int, chance: random.Random) -> None:
        self.callers = callers
        self.slugs = [f"Load-{number:05d}" for number in range(clients)]
        self._fleet, self._chance = fleet, chance
        # Nobody's callers begin within one millisecond, and the first answers come while it warms.
        self._ramp_seconds = min(5.0, clients / 20)

    def open_all(self) -> dict[str, Any]:
        """Open all clients; some requests come twice, and some contradict others."""
        requests: list[Request] = []
        contradictions = itertools.cycle([_other_entity, _other_body])
        for slug in self.slugs:
            requests.append(_opening(slug))
            if self._chance.random() < REPEATED:
                requests.append(_opening(slug))
            if self._chance.random() < CONTRADICTED:
                requests.append(next(contradictions)(slug))
        return self._run(self._mixed(requests))

    def close_all(self) -> dict[str, Any]:
        """Close all clients; some requests come twice."""
        twice = [slug for slug in self.slugs if self._chance.random() < REPEATED]
        return self._run(self._mixed([_closing(slug) for slug in [*self.slugs, *twice]]))

    def _mixed(self, requests: list[Request]) -> list[Request]:
        # Near each other still, so that those of one client meet.
        places = [(place + self._chance.uniform(0, 20), place) for place in range(len(requests))]
        return [requests[place] for _, place in sorted(places)]

    def _run(self, requests: list[Request]) -> dict[str, Any]:
        waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        for request in requests:
            waiting.put(request)
        figures, begun = Figures(), time.perf_counter()
        threads = [
            threading.Thread(target=self._call, args=(waiting, figures))
            for _ in range(self.callers)
        ]
        for thread in threads:
            thread.start()
            time.sleep(self._ramp_seconds / self.callers)
        for thread in threads:
            thread.join()
        return figures.document(time.perf_counter() - begun)

    def _call(self, waiting: "queue.SimpleQueue[Request]", figures: Figures) -> None:
        with self._fleet.caller() as http:
            while True:
                try:
                    request = waiting.get_nowait()
                except queue.Empty:
                    return
                begun = time.perf_counter()
                answer = request(http)
                waited = (time.perf_counter() - begun) * 1000
                figures.answers[_kind(answer)] += 1
                fresh = answer.status_code == 202 and "Idempotency-Replayed" not in answer.headers
                (figures.accepted if fresh else figures.others).append(waited)
                if fresh:
                    figures.ended[_follow(http, answer)] += 1


def quantile(values: list[float], part: float) -> float:
    """Return the value that so many of the values do not exceed; 0 where there are none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1) if ordered else 0.0


def _follow(http: httpx.Client, answer: Answer) -> str:
    """Wait for the end of the operation and return its state."""
    address = answer.headers["Location"]
    while True:
        operation = http.get(address, headers={"Prefer": "wait=30"}).json()
        if operation["state"] not in _UNFINISHED:
            return str(operation["state"])


def _kind(answer: Answer) -> str:
    if answer.headers["Content-Type"] == "application/problem+json":
        return f"{answer.status_code} {answer.json()['type'].rpartition('/')[2]}"
    replayed = " replayed" if "Idempotency-Replayed" in answer.headers else ""
    return f"{answer.status_code}{replayed}"


def _opening(slug: str) -> Request:
    return lambda http: _post(http, _body(slug), f"open {slug}")


def _other_entity(slug: str) -> Request:
    """Another company whose name leads to the same slug."""
    return lambda http: _post(http, _body(slug) | {"legal_name": slug.replace("-", ", ")}, None)


def _other_body(slug: str) -> Request:
    """The same idempotency key for another purpose."""
    return lambda http: _post(http, _body(slug) | {"purpose": "another"}, f"open {slug}")


def _closing(slug: str) -> Request:
    return lambda http: http.delete(f"/v1/clients/{slug}", params=REASON)


def _post(http: httpx.Client, body: dict[str, Any], key: str | None) -> Answer:
    return http.post("/v1/clients", json=body, headers={"Idempotency-Key": key} if key else {})


def _body(slug: str) -> dict[str, Any]:
    return {
        "legal_name": slug.replace("-", " "),
        "purpose": "to be measured",
        "data_categories": ["images"],
        "contract": {
            "kind": "customer",
            "reference": slug,
            "signed_on": "2026-01-15",
            "jurisdiction": "ES",
            "signer": {"full_name": "Ada Lovelace", "email": "ada@example.org"},
        },
    }
