"""The queue as operators see it, and that it does not grow without end."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from models.base import utc_now
from models.database import transaction
from models.operations import Operation
from models.workers import WorkerRow
from service.context import Services
from service.problems import Problem
from service.queue import QueueLimit
from tests.service.approvals.conftest import NewPerson, person
from tests.service.http.conftest import Stage, TokenFactory, caller, with_settings
from tests.service.http.handworker import DENIED, HandWorker
from tests.service.http.test_either_database import database_url

__all__ = ["database_url", "person"]

Request = dict[str, Any]
WHY = {"reason": "of the test"}


def ask(api: httpx.Client, request: Request, name: str) -> httpx.Response:
    """Ask for the area of a client of this name."""
    body = {**request, "legal_name": name}
    body["contract"] = {**request["contract"], "reference": name}
    return api.post("/v1/clients", json=body)


def row(name: str, **values: datetime) -> WorkerRow:
    """A worker's row; it was seen just now."""
    return WorkerRow(name=name, version="1", host="host", process_id=7, **values)  # type: ignore[arg-type]


@pytest.fixture
def short(services: Services, stage: Stage) -> str:
    """The address of a service that takes on three operations at most."""
    return stage.put(with_settings(services, queue_limit=3))


def test_the_queue_tells_depth_age_and_workers(
    admin: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    waiting = [ask(admin, abc_llc, f"Client {number}").json()["id"] for number in range(3)]
    worker.begin(waiting[0])
    worker.automatic = True
    ask(admin, abc_llc, "Done")
    with transaction(services.database) as session:
        session.get_one(Operation, waiting[1]).created_at = utc_now() - timedelta(minutes=5)
        now = utc_now()
        session.add(row("alive", circuit_open_since=now))
        session.add(row("silent", seen_at=now - timedelta(minutes=5)))
        session.add(row("stopped", stopped_at=now))
    worker.automatic = False
    admin.delete("/v1/clients/Done", params=WHY)
    queue = admin.get("/v1/queue").json()
    found = {(d["priority"], d["state"]): d["count"] for d in queue["depths"]}
    assert found == {("urgent", "pending"): 1, ("normal", "pending"): 2, ("normal", "running"): 1}
    assert (queue["unfinished"], queue["limit"]) == (4, services.settings.queue_limit)
    assert 299 < queue["oldest_seconds"] < 400
    assert queue["ended_per_second"] == pytest.approx(1 / 60, abs=0.001)
    assert {w["name"]: w["alive"] for w in queue["workers"]} == {
        "alive": True,
        "silent": False,
        "stopped": False,
    }
    assert queue["aws_away_since"] == queue["workers"][0]["aws_away_since"] is not None
    checks = {check["name"]: check for check in admin.get("/readyz").json()["checks"]}
    assert not checks["aws_circuit"]["ok"]
    assert "operations wait" in checks["aws_circuit"]["detail"]
    assert checks["queue"]["detail"].startswith("4 of at most")


def test_the_clock_goes_while_one_of_the_workers_goes(
    admin: httpx.Client, services: Services
) -> None:
    """Each clock does all that is due; one that stands is told with its worker."""

    def check() -> dict[str, object]:
        checks = admin.get("/readyz").json()["checks"]
        return next(check for check in checks if check["name"] == "clock")

    now = utc_now()
    with transaction(services.database) as session:
        session.add(row("standing", clock_stands_since=now))
        session.add(row("going"))
    assert check()["ok"]
    [going, standing] = admin.get("/v1/queue").json()["workers"]
    assert (going["clock_stands_since"], standing["clock_stands_since"] is None) == (None, False)
    with transaction(services.database) as session:
        session.get_one(WorkerRow, "going").draining = True
    assert not check()["ok"]
    assert f"since {now:%Y-%m-%dT%H:%M:%SZ}" in str(check()["detail"])


def test_an_empty_queue(admin: httpx.Client) -> None:
    queue = admin.get("/v1/queue").json()
    assert (queue["unfinished"], queue["oldest_seconds"], queue["workers"]) == (0, None, [])


def test_the_queue_is_for_admins(address: str, token: TokenFactory) -> None:
    with caller(address, token("clients:read", "clients:write")) as api:
        assert api.get("/v1/queue").status_code == 403


def test_a_worker_of_another_process_is_enough_to_be_ready(
    admin: httpx.Client, services: Services, worker: HandWorker
) -> None:
    """An API without a worker of its own."""
    worker.is_alive = False
    with transaction(services.database) as session:
        session.add(row("elsewhere"))
    checks = {check["name"]: check for check in admin.get("/readyz").json()["checks"]}
    assert checks["worker"] == {"name": "worker", "ok": True, "detail": "1 work elsewhere"}


def test_past_the_limit_nothing_is_opened(
    short: str, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    """429 with the time to wait; what is there can be closed, and a repetition finds its work."""
    scopes = ("clients:read", "clients:write", "clients:close")
    with caller(short, token(*scopes)) as api:
        worker.automatic = True
        for name in ("Open", "Closed"):
            assert ask(api, abc_llc, name).status_code == 202
        assert api.delete("/v1/clients/Closed", params=WHY).status_code == 202
        worker.automatic = False
        time.sleep(0.2)  # that the queue is full is believed for a tenth of a second
        key = {"Idempotency-Key": "once"}
        assert api.post("/v1/clients", json=abc_llc, headers=key).status_code == 202
        for number in range(2):
            assert ask(api, abc_llc, f"Client {number}").status_code == 202
        refused = ask(api, abc_llc, "One more")
        assert refused.status_code == 429
        problem = refused.json()
        assert problem["type"] == "/problems/queue-full"
        assert (problem["unfinished"], problem["limit"]) == (3, 3)
        assert 1 <= int(refused.headers["Retry-After"]) <= 300
        assert api.get("/v1/clients/One-more").status_code == 404
        assert api.post("/v1/clients/Closed/reopen", json={}).status_code == 429
        assert api.delete("/v1/clients/Open", params=WHY).status_code == 202
        replay = api.post("/v1/clients", json=abc_llc, headers=key)
        assert (replay.status_code, replay.headers["Idempotency-Replayed"]) == (202, "true")


def test_with_room_again_areas_are_opened(
    short: str, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    with caller(short, token("clients:write")) as api:
        waiting = [ask(api, abc_llc, f"Client {number}").json()["id"] for number in range(3)]
        assert ask(api, abc_llc, "Early").status_code == 429
        worker.finish(waiting[0])
        time.sleep(0.2)
        assert ask(api, abc_llc, "Early").status_code == 202


def failed(api: httpx.Client, worker: HandWorker, request: Request, name: str) -> str:
    """Ask for an area that AWS refuses; return the failed operation's id."""
    operation = str(ask(api, request, name).json()["id"])
    worker.failure = DENIED
    worker.finish(operation)
    worker.failure = None
    return operation


def test_a_retry_of_an_opening_takes_its_place_in_the_queue(
    short: str, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    scopes = ("clients:read", "clients:write", "clients:close")
    with caller(short, token(*scopes)) as api:
        lost = failed(api, worker, abc_llc, "Lost")
        worker.automatic = True
        assert ask(api, abc_llc, "Closing").status_code == 202
        worker.automatic = False
        closing = api.delete("/v1/clients/Closing", params=WHY).json()["id"]
        worker.failure = DENIED
        worker.finish(closing)
        waiting = [fill(api, abc_llc, number)["id"] for number in range(3)]
        refused = api.post(f"/v1/operations/{lost}/retry")
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/queue-full")
        assert 1 <= int(refused.headers["Retry-After"]) <= 300
        assert api.get(f"/v1/operations/{lost}").json()["run"] == 1
        retried = api.post(f"/v1/operations/{closing}/retry")
        assert retried.status_code == 202, "taking access away is never refused"
        for operation in (closing, *waiting):
            worker.finish(operation)
        again = with_room(lambda: api.post(f"/v1/operations/{lost}/retry"))
        assert (again.status_code, again.json()["run"]) == (202, 2)


def test_what_waits_for_approval_has_its_place_in_the_queue(
    token: TokenFactory, person: NewPerson, short: str, abc_llc: Request
) -> None:
    """Once approved it can't be refused any more, and the database would grow without end."""
    person("JD-005", name="technical manager")
    abroad = {**abc_llc, "contract": {**abc_llc["contract"], "jurisdiction": "US"}}
    with caller(short, token("admin")) as api:
        for number in range(3):
            assert fill(api, abroad, number)["state"] == "awaiting_approval"
        time.sleep(1.1)  # a count is believed for a second; the next one is the database's
        queue = api.get("/v1/queue").json()
        assert [(d["state"], d["count"]) for d in queue["depths"]] == [("awaiting_approval", 3)]
        assert (queue["unfinished"], queue["oldest_seconds"]) == (3, None)
        assert ask(api, abc_llc, "One more").status_code == 429


def test_a_crowd_of_refusals_looks_once_for_the_pace(
    services: Services, api: httpx.Client, abc_llc: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pace is counted over all operations there ever were."""
    monkeypatch.setattr("service.queue._PACE_SECONDS", 600.0)
    assert ask(api, abc_llc, "First").status_code == 202
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    limit = QueueLimit(1)
    event.listen(services.database, "before_cursor_execute", note)
    try:
        for _ in range(5):
            refusal = pytest.raises(Problem)
            with transaction(services.database, write=False) as session, refusal as refused:
                limit.admit(session)
            assert refused.value.headers["Retry-After"] == "60"
    finally:
        event.remove(services.database, "before_cursor_execute", note)
    assert len([one for one in asked if "finished_at >" in one]) == 1


def fill(api: httpx.Client, request: Request, number: int) -> Request:
    """Ask for an area, as one of several that fill the queue; return its operation."""
    answer = with_room(lambda: ask(api, request, f"Client {number}"))
    assert answer.status_code == 202, answer.text
    operation: Request = answer.json()
    return operation


def with_room(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send again while the queue is still believed to be full; return the first other answer."""
    deadline = time.monotonic() + 30
    while (answer := send()).status_code == 429 and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer
