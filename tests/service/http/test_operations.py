"""Operations: read, waited for, listed, and followed as server-sent events."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from service.context import Services
from service.http import waiting as http_waiting
from service.settings import Settings
from tests.service.http.handworker import DENIED, HandWorker
from tests.waiting import until

Request = dict[str, Any]


def started(api: httpx.Client, request: Request) -> str:
    """Start an opening and return the operation's id."""
    answer = api.post("/v1/clients", json=request)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


LONG = {"Prefer": "wait=60"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with which callers may wait for much longer than anything here takes."""
    return settings.model_copy(update={"wait_limit_seconds": 60.0})


def waiting(services: Services, operation: str) -> int:
    """How many wait for the operation, or follow it."""
    return len(services.hub._waiting.get(operation, ()))


@contextmanager
def once_awaited(worker: HandWorker, operation: str) -> Iterator[None]:
    """Have another thread finish the operation as soon as somebody waits for it."""
    services = worker.services
    assert services is not None

    def act() -> None:
        until(lambda: waiting(services, operation))
        worker.finish(operation)

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act)
        yield
        acting.result()


def events(api: httpx.Client, operation: str, **headers: str) -> list[ServerSentEvent]:
    """Follow an operation to its end."""
    path = f"/v1/operations/{operation}/events"
    with connect_sse(api, "GET", path, headers=headers) as stream:
        return list(stream.iter_sse())


def test_read_tells_step_and_progress(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """State, step and progress while it runs; Retry-After until it has ended."""
    operation = started(api, abc_llc)
    worker.begin(operation)
    answer = api.get(f"/v1/operations/{operation}")
    assert answer.json()["state"] == "running"
    assert answer.json()["step"] == "make"
    assert answer.json()["progress"] == {"done": 0, "total": 5}
    assert "Retry-After" in answer.headers
    worker.finish(operation)
    done = api.get(f"/v1/operations/{operation}")
    assert (done.json()["state"], done.json()["attempts"]) == ("succeeded", 2)
    assert "Retry-After" not in done.headers


def test_read_waits_for_the_end(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Prefer: wait` answers as soon as the operation has ended, not at the end of the wait."""
    monkeypatch.setattr(http_waiting, "END_POLL_SECONDS", 3600.0)
    operation = started(api, abc_llc)
    begun = time.monotonic()
    with once_awaited(worker, operation):
        answer = api.get(f"/v1/operations/{operation}", headers=LONG)
    assert answer.json()["state"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=60"
    assert time.monotonic() - begun < 30


def test_wait_needs_no_wakeup(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may be the worker: the end is seen without a wake-up in this one."""
    operation = started(api, abc_llc)
    monkeypatch.setattr(worker, "_publish", lambda _: None)
    begun = time.monotonic()
    with once_awaited(worker, operation):
        answer = api.get(f"/v1/operations/{operation}", headers=LONG)
    assert answer.json()["state"] == "succeeded"
    assert time.monotonic() - begun < 30


def test_waiting_holds_no_thread(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """More waiters than the server has threads leave it free for everybody else."""
    operation = started(api, abc_llc)
    answers: list[httpx.Response] = []

    def wait() -> None:
        answers.append(api.get(f"/v1/operations/{operation}", headers=LONG))

    limits = httpx.Limits(max_connections=200)
    with httpx.Client(
        base_url=api.base_url, headers=api.headers, timeout=90, limits=limits, trust_env=False
    ) as api:
        waiters = [threading.Thread(target=wait) for _ in range(80)]
        for waiter in waiters:
            waiter.start()
        until(lambda: waiting(services, operation) == 80)
        assert api.get("/v1/clients/ABC-LLC").status_code == 200
        assert waiting(services, operation) == 80, "it was answered while they all waited"
        worker.finish(operation)
        for waiter in waiters:
            waiter.join()
    assert [answer.json()["state"] for answer in answers] == ["succeeded"] * 80


def test_list_filters_and_pages(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """By client, state and kind, newest first, page by page."""
    worker.automatic = True
    made = [started(api, abc_llc | {"legal_name": f"Client {number}"}) for number in range(4)]
    api.delete("/v1/clients/Client-2", params={"reason": "because"})

    def ids(**filters: Any) -> list[str]:
        return [item["id"] for item in api.get("/v1/operations", params=filters).json()["items"]]

    assert ids(kind="open") == list(reversed(made))
    assert ids(client="client-1") == [made[1]]
    assert len(ids(client="Client-2")) == 2
    assert ids(state="failed") == []
    first = api.get("/v1/operations", params={"page_size": 3, "kind": "open"}).json()
    more = {"page_size": 3, "kind": "open", "page_token": first["next_page_token"]}
    second = api.get("/v1/operations", params=more).json()
    assert [i["id"] for i in first["items"] + second["items"]] == list(reversed(made))
    assert second["next_page_token"] is None


@pytest.mark.parametrize("operation", ["x", "0" * 32, "0" * 33, "%00", "ñ", "'--"])
def test_unknown_operations_are_404(api: httpx.Client, operation: str) -> None:
    """Unknown ids answer 404, whatever they look like."""
    assert api.get(f"/v1/operations/{operation}").status_code == 404
    assert api.get(f"/v1/operations/{operation}/events").status_code == 404


def test_events_are_told_as_they_happen(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """The stream tells what was, then what happens, and ends with the final state; ids are
    sequences.
    """
    operation = started(api, abc_llc)
    with once_awaited(worker, operation):
        told = events(api, operation)
    assert [event.id for event in told] == [str(n + 1) for n in range(len(told))]
    assert [event.event for event in told] == ["state", "state", "step", "resource", "state"]
    last = told[-1].json()
    assert (last["kind"], last["data"]["to"], last["sequence"]) == ("state", "succeeded", 5)


@pytest.mark.parametrize(("after", "told"), [("0", 5), ("3", 2), ("5", 0), ("999", 0)])
def test_events_go_on_after_the_last_one(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, after: str, told: int
) -> None:
    """`Last-Event-ID` resumes without repeats; past the end there is nothing, and it ends."""
    operation = started(api, abc_llc)
    worker.failure = DENIED
    worker.finish(operation)
    assert len(events(api, operation, **{"Last-Event-ID": after})) == told


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "99999999999999999999"])
def test_events_refuse_odd_ids(api: httpx.Client, abc_llc: Request, after: str) -> None:
    """An id that is none of ours is refused."""
    operation = started(api, abc_llc)
    path = f"/v1/operations/{operation}/events"
    answer = api.get(path, headers={"Last-Event-ID": after})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "last-event-id"


def test_many_events_come_whole(api: httpx.Client, worker: HandWorker, abc_llc: Request) -> None:
    """A stream longer than one batch comes whole and in order."""
    operation = started(api, abc_llc)
    for _ in range(200):
        worker.begin(operation)
    worker.finish(operation)
    told = events(api, operation)
    assert [int(event.id) for event in told] == list(range(1, len(told) + 1))
    assert len(told) > 400
