"""Alive and ready, and the OpenAPI document."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from models.database import transaction
from service import problems
from service.context import Services
from service.http.guards import PUBLIC_PATHS
from service.http.routes import routes
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import HandWorker


def checks(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    """Return the checks of a readiness answer by name."""
    return {check["name"]: check for check in answer.json()["checks"]}


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_alive(address: str, prefix: str) -> None:
    """PB-04: the process answers, without a token."""
    answer = httpx.get(f"{address}{prefix}/healthz", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_ready_tells_each_check(address: str, token: TokenFactory, worker: HandWorker) -> None:
    """Red without the foundation; the AWS identity is for callers with a token only."""
    anonymous = httpx.get(f"{address}/readyz", trust_env=False)
    assert anonymous.status_code == 503
    found = checks(anonymous)
    names = ["database", "migrations", "disk", "sealing_keys"]
    names += ["engine", "aws_identity", "foundation", "worker", "queue", "aws_circuit", "clock"]
    assert list(found) == names
    assert {name for name in names if not found[name]["ok"]} == {"foundation"}
    assert "handover foundation up" in found["foundation"]["detail"]
    assert "arn:" not in anonymous.text
    with caller(address, token("clients:read")) as known:
        assert "arn:aws" in checks(known.get("/v1/readyz"))["aws_identity"]["detail"]


def test_ready_needs_a_worker(address: str, worker: HandWorker) -> None:
    """A service whose worker is gone is not ready."""
    worker.is_alive = False
    answer = httpx.get(f"{address}/readyz", trust_env=False)
    assert not checks(answer)["worker"]["ok"]


def test_ready_needs_migrations(address: str, services: Services) -> None:
    """A database at another revision names the command that mends it."""
    with transaction(services.database) as session:
        session.connection().execute(text("DELETE FROM alembic_version"))
    answer = httpx.get(f"{address}/readyz", trust_env=False)
    assert answer.status_code == 503
    assert "handover db upgrade" in checks(answer)["migrations"]["detail"]


def test_openapi_is_complete(address: str) -> None:
    """Every route has a summary, a description, a security scheme and its problems with
    examples.
    """
    document = httpx.get(f"{address}/openapi.json", trust_env=False).json()
    operations = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    documented = {(m, r.path) for r in routes() if r.include_in_schema for m in r.methods or ()}
    assert operations.keys() == documented
    for (method, path), operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        if not path.startswith("/v1") or path in PUBLIC_PATHS:
            continue
        assert operation["security"], (method, path)
        takes = {"parameters", "requestBody"} & operation.keys()
        for status in ("401", "500", "503", *(("422",) if takes else ())):
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"], (method, path, status)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in document["components"]["schemas"]
    body = document["components"]["schemas"]["CreateClient"]["properties"]
    assert body["legal_name"]["examples"] == ["ABC LLC"]


def test_openapi_names_every_problem(address: str) -> None:
    """Each problem type is documented on some route, or comes from the server itself."""
    text = httpx.get(f"{address}/openapi.json", trust_env=False).text
    own = {problems.METHOD_NOT_ALLOWED.name}
    missing = {name for name in problems.CATALOGUE if f"/problems/{name}" not in text} - own
    assert missing == set()


def test_docs_list_every_call(address: str) -> None:
    """PB-01: the page for people loads nothing from anywhere."""
    page = httpx.get(f"{address}/docs", trust_env=False)
    assert page.status_code == 200
    for path in {route.path for route in routes() if route.include_in_schema}:
        assert path in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text
