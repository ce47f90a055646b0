"""The same wish twice, one after the other or a hundred at once, makes one area."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import func, select

from models.access_keys import AccessKey
from models.clients import Client
from models.database import transaction, upgrade
from models.idempotency import IdempotencyKey
from models.operations import Operation
from service.context import Services
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]


def count(services: Services, table: type[Any]) -> int:
    """Return how many rows a table has."""
    with transaction(services.database, write=False) as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_repeated_request_finds_its_operation(
    api: httpx.Client, services: Services, worker: HandWorker, abc_llc: Request
) -> None:
    """In flight 202 and done 200, with the same operation and location; spacing and order don't
    matter.
    """
    first = api.post("/v1/clients", json=abc_llc, headers={"Idempotency-Key": '"key-1"'})
    reordered = dict(reversed(list(abc_llc.items())))
    again = api.post("/v1/clients", json=reordered, headers={"Idempotency-Key": "key-1"})
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    worker.finish(first.json()["id"])
    done = api.post("/v1/clients", json=abc_llc, headers={"Idempotency-Key": "key-1"})
    assert (done.status_code, done.json()["id"]) == (200, first.json()["id"])
    assert done.headers["Location"] == first.headers["Location"]
    assert worker.started == [first.json()["id"]]
    assert count(services, Client) == 1


def test_repeated_request_never_gets_the_record(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """PB-13: a replayed create never shows a secret again; it gets the operation instead of the
    PDF.
    """
    worker.automatic = True
    headers = {"Idempotency-Key": "key-1", "Accept": "application/pdf"}
    first = api.post("/v1/clients", json=abc_llc, headers=headers)
    assert (first.status_code, first.headers["Content-Type"]) == (201, "application/pdf")
    again = api.post("/v1/clients", json=abc_llc, headers=headers)
    assert (again.status_code, again.json()["state"]) == (200, "succeeded")


def test_another_request_under_the_key_is_422(
    api: httpx.Client, services: Services, abc_llc: Request
) -> None:
    """One key with two bodies, or for two addresses, is a mistake of the caller."""
    headers = {"Idempotency-Key": "key-1"}
    api.post("/v1/clients", json=abc_llc, headers=headers)
    other = api.post("/v1/clients", json=abc_llc | {"purpose": "Something else"}, headers=headers)
    elsewhere = api.delete("/v1/clients/ABC-LLC?reason=because", headers=headers)
    for answer in (other, elsewhere):
        assert answer.status_code == 422
        assert answer.json()["type"] == "/problems/idempotency-key-reused"
    assert count(services, Operation) == 1


def test_keys_belong_to_their_actor(
    address: str, api: httpx.Client, token: TokenFactory, abc_llc: Request
) -> None:
    """Another actor's equal key is another key."""
    headers = {"Idempotency-Key": "key-1"}
    assert api.post("/v1/clients", json=abc_llc, headers=headers).status_code == 202
    with caller(address, token("clients:write")) as other:
        request = abc_llc | {"legal_name": "Another Company"}
        assert other.post("/v1/clients", json=request, headers=headers).status_code == 202


def test_nothing_is_kept_of_a_refused_request(
    api: httpx.Client, services: Services, abc_llc: Request
) -> None:
    """A key is free again after a validation failure, and nothing was written."""
    headers = {"Idempotency-Key": "key-1"}
    bad = abc_llc | {"profile": "everything"}
    assert api.post("/v1/clients", json=bad, headers=headers).status_code == 422
    outside = abc_llc | {"contract": abc_llc["contract"] | {"jurisdiction": "US"}}
    assert api.post("/v1/clients", json=outside, headers=headers).status_code == 409
    assert count(services, IdempotencyKey) == count(services, Client) == 0
    assert api.post("/v1/clients", json=abc_llc, headers=headers).status_code == 202


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there"])
def test_unusable_keys_are_refused(api: httpx.Client, abc_llc: Request, key: str) -> None:
    """A key that could not be kept is refused rather than ignored."""
    answer = api.post("/v1/clients", json=abc_llc, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-parameter")
    assert api.get("/v1/clients").json()["items"] == []


def test_close_and_reopen_repeat_too(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Keys work on every request that starts an operation."""
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc)
    for method, path in (
        ("DELETE", "/v1/clients/ABC-LLC?reason=because"),
        ("POST", "/v1/clients/ABC-LLC/reopen"),
    ):
        first, again = (
            api.request(method, path, headers={"Idempotency-Key": method}) for _ in range(2)
        )
        assert (first.status_code, again.status_code) == (202, 200), first.text
        assert first.json()["id"] == again.json()["id"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> str:
    """A migrated database, once of each kind where a test asks for it."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        upgrade(url)
        return url
    shutil.copy(migrated_file, tmp_path / "handover.db")
    return f"sqlite:///{tmp_path / 'handover.db'}"


@pytest.mark.parametrize("key", [None, "the-same"])
def test_a_hundred_at_once_make_one_area(
    address: str,
    token: TokenFactory,
    services: Services,
    worker: HandWorker,
    abc_llc: Request,
    key: str | None,
) -> None:
    """A hundred simultaneous identical requests: one client, one operation, one key."""
    bearer = token("clients:write")
    headers = {"Idempotency-Key": key} if key else {}

    with caller(address, bearer) as client, ThreadPoolExecutor(100) as pool:
        answers = list(
            pool.map(
                lambda _: client.post("/v1/clients", json=abc_llc, headers=headers), range(100)
            )
        )
    statuses = Counter(answer.status_code for answer in answers)
    [operation] = worker.started
    if key:
        assert statuses == {202: 100}
        assert {answer.json()["id"] for answer in answers} == {operation}
    else:
        assert statuses == {202: 1, 409: 99}
        refused = [answer.json() for answer in answers if answer.status_code == 409]
        assert {problem["type"] for problem in refused} == {"/problems/client-exists"}
        assert {p["links"]["operation"] for p in refused} == {f"/v1/operations/{operation}"}
    assert (count(services, Client), count(services, Operation)) == (1, 1)
    assert count(services, AccessKey) == 1
