"""With the real worker and the local AWS: nothing is there before somebody has approved."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.localaws import LocalAws
from models.actors import Actor
from models.database import transaction
from service.approvals.ending import expire_approvals
from service.reconcile import Finding, survey
from tests.service.approvals.conftest import BECAUSE, stored_approval
from tests.service.house import House, house
from tests.service.http.conftest import ABC_LLC, mint


@pytest.fixture
def running(tmp_path: Path, local_aws: LocalAws) -> Iterator[House]:
    """A whole service on the local AWS."""
    with house(tmp_path / "data", local_aws) as service:
        yield service


def made(running: House, slug: str, bucket: str) -> list[str]:
    """Return what of a client is in AWS and in the engine's state."""
    found = []
    pages = running.iam.get_paginator("list_users").paginate()
    if any(user["UserName"] == slug for page in pages for user in page["Users"]):
        found.append("user")
    if running.s3.list_objects_v2(Bucket=bucket, Prefix=f"{slug}/").get("Contents"):
        found.append("object")
    state = Path(running.services.settings.state_url.removeprefix("file://"))
    if list(state.rglob(f"{slug}.json*")):
        found.append("stack")
    return found


def about(running: House, slug: str) -> list[Finding]:
    """Return what AWS and the records disagree on about a client."""
    return [found for found in survey(running.services) if slug in str(found)]


def test_nothing_is_in_aws_before_it_is_approved(running: House, unique: str) -> None:
    """SP-04, SP-07: no user, no key, no object, no stack while it waits, nor when it expires."""
    with transaction(running.services.database) as session:
        technical = Actor(name="technical manager", roles=["JD-005"])
        session.add(technical)
    token = mint(running.services, "approvals:decide", "clients:read", actor=technical)
    slug, bucket = f"Abroad-{unique}", running.services.settings.bucket
    request: dict[str, Any] = copy.deepcopy(ABC_LLC)
    request |= {"legal_name": f"Abroad {unique}"}
    request["contract"]["jurisdiction"] = "US"
    assert running.api.post("/v1/clients", json=request).json()["state"] == "awaiting_approval"
    # Somebody else's opening shows that the worker looks for work, and leaves this one alone.
    ordinary = copy.deepcopy(ABC_LLC) | {"legal_name": f"Near {unique}"}
    answer = running.api.post("/v1/clients", json=ordinary, headers={"Prefer": "wait=60"})
    assert answer.status_code == 201, answer.text
    assert made(running, f"Near-{unique}", bucket) == ["user", "object", "stack"]
    assert made(running, slug, bucket) == []
    assert about(running, slug) == []

    approval = stored_approval(running.services)
    assert expire_approvals(running.services, approval.expires_at) == [approval.operation_id]
    assert made(running, slug, bucket) == []
    assert about(running, slug) == []

    assert running.api.post("/v1/clients", json=request).json()["state"] == "awaiting_approval"
    [waiting] = running.api.get("/v1/approvals", params={"state": "waiting"}).json()["items"]
    answer = running.api.post(
        waiting["links"]["approve"], json=BECAUSE, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200, answer.text
    running.settle()
    assert running.client(slug).state == "open"
    assert made(running, slug, bucket) == ["user", "object", "stack"]
