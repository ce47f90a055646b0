"""Decisions, expiry and requests at the same moment, on each kind of database."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.audit import verify_chain
from models.database import transaction, upgrade
from service.approvals.ending import expire_approvals
from service.context import Services
from tests.service.approvals.conftest import NewPerson, Person, audited, stored_approval
from tests.service.http.handworker import HandWorker
from tests.waiting import PATIENCE


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a migrated database, once of each kind."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        upgrade(url)
        return url
    shutil.copy(migrated_file, tmp_path / "handover.db")
    return f"sqlite:///{tmp_path / 'handover.db'}"


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make all calls at the same moment; raises what one of them raised."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def _status(one: Person, approval: dict[str, Any], verdict: str) -> int:
    return one.decide(approval, verdict).status_code


def test_of_decisions_at_once_one_wins(
    services: Services, crm: Person, person: NewPerson, worker: HandWorker
) -> None:
    """SP-04: three approve, three reject; the operation goes one way, once."""
    people = [person("JD-005", name=f"holder {number}") for number in range(6)]
    crm.ask("US")
    [approval] = crm.approvals()
    verdicts = ["approve", "reject"] * 3
    decide: list[Callable[[], int]] = [
        partial(_status, one, approval, verdict)
        for one, verdict in zip(people, verdicts, strict=True)
    ]
    assert sorted(at_once(decide)) == [200] + [409] * 5
    [decided] = crm.approvals()
    [decision] = decided["decisions"]
    approved = decision["verdict"] == "approve"
    assert decided["state"] == ("approved" if approved else "rejected")
    assert crm.operation(approval)["state"] == ("pending" if approved else "cancelled")
    assert len(worker.started) == approved
    actions = [action for action, *_ in audited(services)]
    assert sum(action in ("approval.approved", "approval.rejected") for action in actions) == 1
    with transaction(services.database, write=False) as session:
        assert verify_chain(session).ok


def test_the_last_two_approvals_at_once_start_the_work_once(
    services: Services, crm: Person, person: NewPerson, worker: HandWorker
) -> None:
    """SP-04: two rules met at the same moment do not each see the other as missing."""
    technical, general = person("JD-005"), person("JD-001")
    crm.ask("US", special_category=True)
    waiting = {one["rule"]: one for one in crm.approvals()}
    answers = at_once(
        [
            lambda: technical.decide(waiting["jurisdiction"]).status_code,
            lambda: general.decide(waiting["special-category"]).status_code,
        ]
    )
    assert answers == [200, 200]
    operation = crm.operation(waiting["jurisdiction"])
    assert operation["state"] == "pending"
    assert set(worker.started) == {operation["id"]}
    assert [a for a, *_ in audited(services)].count("client.open_approved") == 1


def test_expiry_and_decision_at_once_end_it_one_way(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """SP-04: several processes expire while somebody approves."""
    crm.ask("US")
    [approval] = crm.approvals()
    late = stored_approval(services).expires_at
    decided, *ended = at_once(
        [
            lambda: technical_manager.decide(approval).status_code,
            *[lambda: expire_approvals(services, late)] * 3,
        ]
    )
    operation = crm.operation(approval)
    expired = sorted(ended, key=len)[-1]
    assert sum(map(len, ended)) == len(expired)
    if expired:
        assert (decided, operation["state"], worker.started) == (409, "cancelled", [])
    else:
        assert (decided, operation["state"]) == (200, "pending")
        assert worker.started == [operation["id"]]


def test_the_same_request_at_once_asks_once(crm: Person, technical_manager: Person) -> None:
    codes = at_once([lambda: crm.ask("US").status_code] * 6)
    assert sorted(codes) == [202] + [409] * 5
    assert len(technical_manager.approvals(mine=True)) == 1
