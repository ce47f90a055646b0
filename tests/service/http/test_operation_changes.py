"""Cancelling and retrying operations over HTTP: who may, what is refused, what is told."""

from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.context import Services
from tests.service.http.conftest import Stage, TokenFactory, caller, with_settings
from tests.service.http.handworker import DENIED, HandWorker
from tests.service.http.test_operations import events, started

Request = dict[str, Any]
WHY = {"reason": "Opened by mistake"}


def path(operation: str, verb: str) -> str:
    return f"/v1/operations/{operation}/{verb}"


def test_a_pending_operation_is_cancelled_at_once_and_the_slug_is_free_again(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    operation = started(api, abc_llc)
    answer = api.post(path(operation, "cancel"), json=WHY)
    assert answer.status_code == 200
    told = answer.json()
    assert told["state"] == "cancelled"
    assert told["failure"]["code"] == "Cancelled"
    assert told["failure"]["next_step"] == "Nothing was made for it."
    assert [event.event for event in events(api, operation)] == ["state", "log", "state"]
    worker.automatic = True
    assert api.post("/v1/clients", json=abc_llc).status_code == 202


def test_a_running_operation_is_asked_to_stop_once(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    operation = started(api, abc_llc)
    worker.begin(operation)
    answers = [api.post(path(operation, "cancel"), json=WHY | {"mode": "leave"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.json() for answer in answers)
    assert first["state"] == "running"
    assert first["cancel_requested_at"] == second["cancel_requested_at"] is not None
    worker.finish(operation)
    logs = [event.json() for event in events(api, operation) if event.event == "log"]
    asked = [log["data"] for log in logs if log["data"].get("message") == "cancel requested"]
    assert asked == [{"message": "cancel requested", "mode": "leave", **WHY}]


def test_what_has_ended_can_neither_be_cancelled_nor_retried(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    operation = started(api, abc_llc)
    worker.finish(operation)
    cancelled = api.post(path(operation, "cancel"), json=WHY)
    retried = api.post(path(operation, "retry"))
    assert (cancelled.status_code, retried.status_code) == (409, 409)
    assert cancelled.json()["type"].endswith("/operation-finished")
    assert retried.json()["type"].endswith("/operation-not-retriable")


def test_a_failed_opening_is_retried_in_place(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    operation = started(api, abc_llc)
    worker.failure = DENIED
    worker.finish(operation)
    worker.failure, worker.automatic = None, True
    answer = api.post(path(operation, "retry"), headers={"Prefer": "wait=5"})
    assert (answer.status_code, answer.json()["state"]) == (200, "open")
    told = api.get(f"/v1/operations/{operation}").json()
    assert (told["state"], told["run"], told["failure"]) == ("succeeded", 2, None)


def test_only_the_last_operation_is_retried(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    operation = started(api, abc_llc)
    worker.failure = DENIED
    worker.finish(operation)
    worker.failure = None
    worker.finish(started(api, abc_llc))
    answer = api.post(path(operation, "retry"))
    assert answer.status_code == 409
    assert answer.json()["links"]["operation"] != f"/v1/operations/{operation}"


def test_gates_are_passed_again_at_a_retry(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SP-07: a contract that ended while the operation lay there opens nothing."""
    abc_llc["contract"]["ends_on"] = "2031-01-01"
    operation = started(api, abc_llc)
    worker.failure = DENIED
    worker.finish(operation)
    monkeypatch.setattr(Services, "today", lambda _: date(2031, 1, 2))
    answer = api.post(path(operation, "retry"))
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/contract-ended")


def test_who_may(
    address: str, token: TokenFactory, api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Writing needs its scope, a closing needs its own, and out of reach is not found (RX-16)."""
    operation = started(api, abc_llc)
    with caller(address, token("clients:read")) as reader:
        assert reader.post(path(operation, "cancel"), json=WHY).status_code == 403
    with caller(address, token("clients:write", slugs=["OTHER"])) as elsewhere:
        assert elsewhere.post(path(operation, "cancel"), json=WHY).status_code == 404
        assert elsewhere.post(path(operation, "retry")).status_code == 404
    worker.finish(operation)
    slug = api.get(f"/v1/operations/{operation}").json()["client"]
    closing = api.delete(f"/v1/clients/{slug}", params={"reason": "It ended"}).json()["id"]
    with caller(address, token("clients:write")) as writer:
        refused = writer.post(path(closing, "cancel"), json=WHY)
        assert (refused.status_code, refused.json()["scope"]) == (403, "clients:close")
    assert api.post(path(closing, "cancel"), json=WHY).json()["state"] == "cancelled"
    assert api.get(f"/v1/clients/{slug}").json()["state"] == "open"


SICK = [
    ({"disk_floor_mb": 1 << 30}, 503, "storage-low"),
    ({"keyring_file": "gone.json"}, 503, "sealing-keys-lost"),
    ({"iam_user_quota": 1}, 409, "user-quota-reached"),
]


@pytest.mark.parametrize(("changes", "status", "problem"), SICK)
def test_what_refuses_an_opening_refuses_its_retry(
    changes: dict[str, Any],
    status: int,
    problem: str,
    services: Services,
    stage: Stage,
    token: TokenFactory,
    worker: HandWorker,
    abc_llc: Request,
    tmp_path: Path,
) -> None:
    """A key that is sealed under lost keys could never be handed over."""
    bearer = token("clients:read", "clients:write")
    with caller(stage.put(services), bearer) as api:
        operation = started(api, abc_llc)
        worker.failure = DENIED
        worker.finish(operation)
        assert api.post("/v1/clients", json=abc_llc | {"legal_name": "Other"}).status_code == 202
    if "keyring_file" in changes:
        changes = {"keyring_file": tmp_path / changes["keyring_file"]}
    with caller(stage.put(with_settings(services, **changes)), bearer) as api:
        for answer in (
            api.post("/v1/clients", json=abc_llc),
            api.post(path(operation, "retry")),
        ):
            assert answer.status_code == status, answer.text
            assert answer.json()["type"].endswith(f"/{problem}")
        assert api.get(f"/v1/operations/{operation}").json()["run"] == 1
