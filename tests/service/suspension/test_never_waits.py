"""Taking access away waits behind no other request: not for its threads, and not for its AWS."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.context import Services
from service.http.app import create_app
from service.http.threads import PARALLEL_CUTS
from tests.faults.faults import Silent
from tests.faults.proxy import FaultProxy
from tests.service.house import House, served
from tests.service.http.conftest import caller, mint
from tests.service.suspension.hands import Hands, held_keys, misled, works
from tests.waiting import PATIENCE, until

SHARED_THREADS = 40
"""How many threads all requests share that name none of their own; anyio's default."""
CROWD = SHARED_THREADS + 5


@contextmanager
def crowded(count: int, ask: Callable[[], object]) -> Iterator[None]:
    """Let so many callers ask at once while the context lasts; they end by themselves after it."""
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(PATIENCE)


class Holding:
    """A request that holds a thread of the shared pool, as any slow one does, until let go."""

    def __init__(self) -> None:
        self.full, self._go_on = threading.Event(), threading.Event()
        self._held, self._lock = 0, threading.Lock()

    def __call__(self) -> None:
        """Hold the thread."""
        with self._lock:
            self._held += 1
            if self._held == SHARED_THREADS:
                self.full.set()
        self._go_on.wait(PATIENCE)

    def let_go(self) -> None:
        """Let all end."""
        self._go_on.set()


@contextmanager
def without_threads(services: Services) -> Iterator[httpx.Client]:
    """A caller of a service whose shared threads are all taken while the context lasts."""
    app, hold = create_app(services), Holding()
    app.add_api_route("/hold", hold.__call__, methods=["GET"])
    with served(services, app) as address, caller(address, mint(services, "admin")) as api:

        def ask() -> None:
            httpx.get(f"{address}/hold", timeout=PATIENCE, trust_env=False)

        with crowded(CROWD, ask):
            assert hold.full.wait(PATIENCE)
            try:
                yield api
            finally:
                hold.let_go()


def test_access_is_switched_while_others_hold_all_shared_threads(
    idle: House, slug: str, hands: Hands
) -> None:
    """RX-22: suspend by client and by key, resume, and the rotation of a leaked key."""
    [key] = idle.keys(slug)
    reason = {"reason": "of the test"}
    with without_threads(idle.services) as api:
        answer = api.post(f"/v1/clients/{slug}/suspend", params=reason)
        assert (answer.status_code, answer.json()["cut"]) == (200, True), answer.text
        answer = api.post(f"/v1/clients/{slug}/resume", params=reason)
        assert (answer.status_code, answer.json()["denied"]) == (200, False), answer.text
        answer = api.post(f"/v1/keys/{key.access_key_id}/suspend", params=reason)
        assert (answer.status_code, answer.json()["cut"]) == (200, True), answer.text
        assert api.post(f"/v1/clients/{slug}/resume", params=reason).status_code == 200
        answer = api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
        assert answer.status_code == 202, answer.text
        assert held_keys(idle, slug) == {str(key.access_key_id): "Inactive"}
        assert api.get("/readyz").status_code in (200, 503)
    hands.drive(answer.json()["id"])
    assert works(idle, idle.keys(slug)[1])


def test_readiness_probes_of_a_silent_aws_hold_nobody_up(idle: House, slug: str) -> None:
    """Anybody may ask `/readyz`, as often as they like; STS is silent and IAM is not."""
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        proxy.inject("GetCallerIdentity", Silent())
        answers: list[int] = []

        def probe() -> None:
            answer = httpx.get(f"{other.api.base_url}/readyz", timeout=PATIENCE, trust_env=False)
            answers.append(answer.status_code)

        with crowded(CROWD, probe):
            until(lambda: "GetCallerIdentity" in proxy.calls)
            answer = other.api.post(f"/v1/clients/{slug}/suspend")
            assert (answer.status_code, answer.json()["cut"]) == (200, True), answer.text
        assert answers == [503] * CROWD
        # One look at a time, with its few attempts: not one for each probe.
        assert proxy.calls.count("GetCallerIdentity") < CROWD // 3
        found = {check["name"]: check for check in other.api.get("/readyz").json()["checks"]}
        assert not found["aws_identity"]["ok"]


def test_readiness_knows_when_aws_answers_again(
    idle: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.clients.HURRIED_SECONDS", 0.5)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        rule = proxy.inject("GetCallerIdentity", Silent())

        def knows_aws() -> bool:
            checks = other.api.get("/readyz").json()["checks"]
            return {check["name"]: bool(check["ok"]) for check in checks}["aws_identity"]

        assert not knows_aws()
        assert rule.hits > 0
        proxy.calm()
        until(knows_aws)


def test_a_suspension_is_written_down_while_all_cuts_wait_for_a_silent_aws(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's silence holds the threads that ask it; whoever comes later still has the wish."""
    monkeypatch.setattr("stacks.clients.HURRIED_SECONDS", 20.0)
    late, answered = f"{slug}-late", threading.Event()
    hands.drive(idle.ask_open(late).json()["id"])
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        proxy.inject("*", Silent())

        def suspend(name: str) -> None:
            other.api.post(f"/v1/clients/{name}/suspend")
            answered.set()

        with crowded(PARALLEL_CUTS, lambda: suspend(slug)):
            until(lambda: proxy.calls.count("GetUser") == PARALLEL_CUTS)
            with crowded(1, lambda: suspend(late)):
                until(lambda: idle.client(late).suspended_at is not None)
                assert not answered.is_set()
                proxy.break_silence()
    assert not works(idle, idle.keys(late)[0])
