"""Openings that wait for people, what they are told, and how the wait ends."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlmodel import select

from models.access_keys import AccessKey, AccessKeyStatus
from models.approvals import Approval
from models.base import utc_now
from models.clients import Contract, Profile
from models.database import transaction
from models.operations import Operation
from models.outgoing import EventType, FeedEvent
from service.approvals.ending import expire_approvals
from service.context import Services
from service.worker.timekeeper import Timekeeper
from tests.service.approvals.conftest import (
    CLIENT,
    NewPerson,
    Person,
    audited,
    refusal,
    request_with,
    stored_approval,
)
from tests.service.http.conftest import Stage, with_settings
from tests.service.http.handworker import DENIED, HandWorker


def test_another_jurisdiction_waits_for_the_jd_005(
    crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """SP-04, SP-07: nothing is given to a worker before a JD-005 has approved with a reason."""
    answer = crm.ask("US")
    assert answer.status_code == 202
    assert answer.headers["Retry-After"] == "60"
    operation = answer.json()
    assert operation["state"] == "awaiting_approval"
    assert operation["waiting_for"] == (
        "approval by JD-005: the jurisdiction US is outside the EU and EEA"
    )
    assert crm.http.get(CLIENT).json()["state"] == "opening"
    assert worker.started == []

    listed = crm.http.get(operation["links"]["approvals"]).json()["items"]
    [approval] = technical_manager.approvals(mine=True)
    assert listed == [approval | {"mine": False}]
    assert (approval["rule"], approval["value"]) == ("jurisdiction", "US")
    answer = technical_manager.decide(approval, reason="Standard contractual clauses are signed")
    assert answer.status_code == 200, answer.text
    decided = answer.json()
    assert (decided["state"], decided["mine"], decided["given"]) == ("approved", False, 1)
    [decision] = decided["decisions"]
    assert decision["name"] == "technical manager"
    assert (decision["role"], decision["verdict"]) == ("JD-005", "approve")
    assert decision["reason"] == "Standard contractual clauses are signed"

    assert worker.started == [operation["id"]]
    released = crm.operation(approval)
    assert (released["state"], released["waiting_for"]) == ("pending", None)
    worker.finish(operation["id"])
    assert crm.http.get(CLIENT).json()["state"] == "open"


def test_the_whole_trail_is_kept(
    services: Services, crm: Person, technical_manager: Person
) -> None:
    """RX-17, RX-41: who asked, who decided in which role, what came of it: chain and events."""
    operation = crm.ask("US").json()
    [approval] = crm.approvals()
    technical_manager.decide(approval)
    told = [(action, actor) for action, actor, _ in audited(services)]
    assert told == [
        ("client.open_requested", crm.id),
        ("approval.requested", crm.id),
        ("approval.approved", technical_manager.id),
        ("client.open_approved", technical_manager.id),
    ]
    known = {"operation_id": operation["id"], "rule": "jurisdiction", "role": "JD-005"}
    by = {"decided_by": technical_manager.id, "decided_as": "JD-005"}
    assert audited(services)[2][2] == known | by
    assert "found good" not in str(audited(services))
    with transaction(services.database, write=False) as session:
        stream = session.get_one(Operation, operation["id"]).event_count
        [feed] = session.exec(select(FeedEvent)).all()
    assert stream == 4
    assert feed.type is EventType.approval_requested
    assert feed.data["rule"] == "jurisdiction"
    assert feed.data["slug"] == "ABC-LLC"
    lines = crm.http.get(f"/v1/operations/{operation['id']}").json()
    assert lines["state"] == "pending"


def test_a_rejection_ends_it_with_its_reason(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """SP-04: rejected is cancelled: nothing was made, nothing can be run again, all may be asked
    anew.
    """
    crm.ask("US")
    [approval] = crm.approvals()
    answer = technical_manager.decide(approval, "reject", "No adequacy decision")
    assert answer.json()["state"] == "rejected"
    ended = crm.operation(approval)
    assert ended["state"] == "cancelled"
    assert ended["failure"]["code"] == "ApprovalRejected"
    assert "JD-005 (rule jurisdiction): No adequacy decision" in ended["failure"]["detail"]
    assert crm.http.get(CLIENT).json()["state"] == "failed"
    assert [key.status for key in keys(services)] == [AccessKeyStatus.deleted]
    again = crm.http.post(f"{approval['links']['operation']}/retry")
    assert refusal(again) == (409, "operation-not-retriable")
    assert [action for action, *_ in audited(services)][-2:] == [
        "approval.rejected",
        "client.open_cancelled",
    ]
    assert crm.ask("US").json()["state"] == "awaiting_approval"
    assert worker.started == []
    assert [one["state"] for one in crm.approvals()] == ["waiting", "rejected"]


def keys(services: Services) -> list[AccessKey]:
    with transaction(services.database, write=False) as session:
        return list(session.exec(select(AccessKey)))


@pytest.mark.parametrize(
    ("changes", "role", "rule"),
    [
        ({"jurisdiction": "GB"}, "JD-005", "jurisdiction"),
        ({"special_category": True}, "JD-001", "special-category"),
        ({"profile": "read-only"}, "JD-004", "profile"),
        ({"profile": "write-only"}, "JD-004", "profile"),
    ],
)
def test_each_condition_has_its_rule(
    crm: Person, person: NewPerson, changes: dict[str, Any], role: str, rule: str
) -> None:
    """SP-02, SP-04, SP-09, PB-17: JD-005 for a jurisdiction, JD-001 for special categories,
    JD-004 for what departs from the method.
    """
    for other in ("JD-001", "JD-004", "JD-005"):
        person(other)
    assert crm.ask(**changes).json()["state"] == "awaiting_approval"
    [approval] = crm.approvals()
    assert (approval["role"], approval["rule"]) == (role, rule)


@pytest.mark.parametrize("changes", [{"jurisdiction": "NO"}, {"profile": "sp-050-003"}, {}])
def test_what_is_within_the_rules_waits_for_nobody(
    crm: Person, worker: HandWorker, changes: dict[str, Any]
) -> None:
    """SP-03, SP-24: EU, EEA and the two allowed profiles."""
    operation = crm.ask(**changes).json()
    assert operation["state"] == "pending"
    assert worker.started == [operation["id"]]
    assert "approvals" not in operation["links"]


def test_allowed_profiles_are_a_setting(
    services: Services, stage: Stage, crm: Person, worker: HandWorker
) -> None:
    """PB-17."""
    stage.put(with_settings(services, profiles_allowed=(Profile.read_only,)))
    assert crm.ask(profile="read-only").json()["state"] == "pending"
    other = request_with(profile="hardened", legal_name="Other Client")
    assert crm.http.post("/v1/clients", json=other).json()["type"] == "/problems/nobody-can-approve"


@pytest.mark.usefixtures("technical_manager")
@pytest.mark.parametrize("headers", [{"Prefer": "wait=60"}, {"Accept": "application/pdf"}])
def test_a_caller_who_waits_is_told_at_once(
    services: Services, stage: Stage, crm: Person, headers: dict[str, str]
) -> None:
    """People take longer than a caller waits; nobody gets a PDF of what is not there."""
    stage.put(with_settings(services, wait_limit_seconds=60.0))
    started = utc_now()
    answer = crm.http.post("/v1/clients", json=request_with("US"), headers=headers)
    assert answer.status_code == 202
    assert utc_now() - started < timedelta(seconds=30)
    assert answer.json()["state"] == "awaiting_approval"
    assert "Preference-Applied" not in answer.headers


def test_a_request_repeated_while_it_waits(crm: Person, technical_manager: Person) -> None:
    """With its key it is a replay; without, a 409 with the link to what waits."""
    key = {"Idempotency-Key": "the only one"}
    first = crm.http.post("/v1/clients", json=request_with("US"), headers=key)
    again = crm.http.post("/v1/clients", json=request_with("US"), headers=key)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    refused = crm.ask("US")
    assert refusal(refused) == (409, "client-exists")
    assert refused.json()["links"]["operation"] == f"/v1/operations/{first.json()['id']}"
    assert len(crm.approvals()) == 1


def test_expired_is_cancelled_with_nothing_made(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """SP-04: after 14 days nobody waits any more; a late decision is refused."""
    crm.ask("US")
    approval = stored_approval(services)
    assert timedelta(days=13, hours=23) < approval.expires_at - utc_now() <= timedelta(days=14)
    assert expire_approvals(services) == []
    assert expire_approvals(services, approval.expires_at) == [approval.operation_id]
    assert expire_approvals(services, approval.expires_at) == []
    [listed] = crm.approvals(state="expired")
    ended = crm.operation(listed)
    assert (ended["state"], ended["failure"]["code"]) == ("cancelled", "ApprovalExpired")
    assert "ABC-LLC: approval by JD-005" in ended["failure"]["detail"]
    assert crm.http.get(CLIENT).json()["state"] == "failed"
    late = technical_manager.decide(listed)
    assert refusal(late) == (409, "approval-ended")
    assert worker.started == []
    actions = [action for action, *_ in audited(services)]
    assert actions[-2:] == ["approval.expired", "client.open_cancelled"]
    with transaction(services.database, write=False) as session:
        feed = session.exec(select(FeedEvent)).all()
    assert [event.type.value for event in feed] == ["approval.requested", "operation.failed"]


def test_the_timekeeper_ends_what_nobody_decided(
    services: Services, crm: Person, technical_manager: Person
) -> None:
    """SP-04: nobody has to call for it."""
    crm.ask("US")
    timekeeper, expiry = Timekeeper(services), stored_approval(services).expires_at
    timekeeper.tick(expiry - timedelta(seconds=1))
    assert technical_manager.approvals(mine=True)
    timekeeper.tick(expiry)
    assert [one["state"] for one in crm.approvals()] == ["expired"]


def test_no_decision_is_taken_after_its_time(
    services: Services, crm: Person, technical_manager: Person
) -> None:
    """Also where nobody has swept up yet."""
    crm.ask("US")
    with transaction(services.database) as session:
        session.exec(select(Approval)).one().expires_at = utc_now()
    [approval] = crm.approvals()
    refused = technical_manager.decide(approval)
    assert (refused.status_code, refused.json()["detail"]) == (409, "This approval is expired.")


def test_how_long_an_approval_waits_is_a_setting(
    services: Services, stage: Stage, crm: Person, technical_manager: Person
) -> None:
    stage.put(with_settings(services, approval_days=3))
    crm.ask("US")
    left = stored_approval(services).expires_at - utc_now()
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


@pytest.mark.parametrize("ends", ["contract", "validity"])
def test_an_approval_waits_no_longer_than_the_contract(
    services: Services, crm: Person, technical_manager: Person, ends: str
) -> None:
    """SP-07: the last day of the contract is the last to decide; a key is to work for a day."""
    last = services.today() + timedelta(days=4)
    request = request_with("US")
    if ends == "contract":
        request["contract"]["ends_on"] = last.isoformat()
    else:
        request["valid_until"] = (last + timedelta(days=1)).isoformat()
    assert crm.http.post("/v1/clients", json=request).status_code == 202
    expires = stored_approval(services).expires_at.astimezone(services.settings.zone)
    assert (expires.date(), expires.hour) == (last + timedelta(days=1), 0)


def set_contract(services: Services, **values: date) -> None:
    with transaction(services.database) as session:
        contract = session.exec(select(Contract)).one()
        for name, value in values.items():
            setattr(contract, name, value)


def test_the_dates_are_checked_again_when_it_is_approved(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """SP-07: a contract that ended while the request waited opens nothing."""
    crm.ask("US")
    [approval] = crm.approvals()
    yesterday = services.today() - timedelta(days=1)
    set_contract(services, ends_on=yesterday)
    refused = technical_manager.decide(approval)
    assert refusal(refused) == (409, "contract-ended")
    set_contract(services, ends_on=None, signed_on=services.today() + timedelta(days=1))  # type: ignore[arg-type]
    refused = technical_manager.decide(approval)
    assert refused.json()["type"] == "/problems/contract-not-signed"
    assert crm.approvals(state="waiting")[0]["decisions"] == []
    assert worker.started == []
    set_contract(services, signed_on=yesterday)
    assert technical_manager.decide(approval).status_code == 200
    assert len(worker.started) == 1


def test_a_reopening_asks_again(crm: Person, technical_manager: Person, worker: HandWorker) -> None:
    """SP-04: what was approved once was approved for that opening."""
    worker.automatic = True
    crm.ask("US")
    technical_manager.decide(crm.approvals()[0])
    assert crm.http.get(CLIENT).json()["state"] == "open"
    crm.http.delete(CLIENT, params={"reason": "The study ended"})
    operation = crm.http.post(f"{CLIENT}/reopen").json()
    assert (operation["kind"], operation["state"]) == ("reopen", "awaiting_approval")
    technical_manager.decide(crm.approvals(state="waiting")[0])
    assert crm.http.get(CLIENT).json()["state"] == "open"


def test_a_reopening_may_mark_special_categories(
    crm: Person, person: NewPerson, worker: HandWorker
) -> None:
    """SP-02: the mark stays until somebody takes it off, and is shown."""
    manager = person("JD-001")
    worker.automatic = True
    crm.ask()
    for body, waits, marked in (
        ({"special_category": True}, True, True),
        ({}, True, True),
        ({"special_category": False}, False, False),
    ):
        crm.http.delete(CLIENT, params={"reason": "The study ended"})
        operation = crm.http.post(f"{CLIENT}/reopen", json=body).json()
        assert (operation["state"] == "awaiting_approval") is waits
        if waits:
            manager.decide(crm.approvals(state="waiting")[0])
        assert crm.http.get(CLIENT).json()["special_category"] is marked


def test_a_failed_opening_is_asked_for_anew(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """The same request after an expiry takes another jurisdiction without asking."""
    crm.ask("US")
    expire_approvals(services, stored_approval(services).expires_at)
    assert crm.ask("DE").json()["state"] == "pending"
    assert len(worker.started) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"purpose": "Another study"}, 409),
        ({"data_categories": ["genetic data"]}, 409),
        ({"purpose": "Clinical validation of the device", "language": "es"}, 200),
        ({"contract": {"signer": {"email": "ada@abc.test"}}}, 200),
        ({"special_category": False}, 422),
        ({"profile": "read-only"}, 422),
    ],
)
def test_what_was_approved_does_not_change_by_a_patch(
    crm: Person, technical_manager: Person, worker: HandWorker, change: Any, status: int
) -> None:
    """SP-04: purpose and data are part of what was approved; the rest may change."""
    worker.automatic = True
    crm.ask("US")
    technical_manager.decide(crm.approvals()[0])
    answer = crm.http.patch(CLIENT, json=change, headers={"If-Match": "*"})
    assert answer.status_code == status, answer.text
    if status == 409:
        assert answer.json()["type"] == "/problems/approval-required"
        assert [error["field"] for error in answer.json()["errors"]] == list(change)


def test_cancelling_withdraws_what_nobody_has_to_decide_any_more(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    operation = crm.ask("US").json()
    body = {"reason": "Asked by mistake"}
    answer = crm.http.post(f"/v1/operations/{operation['id']}/cancel", json=body)
    assert answer.json()["state"] == "cancelled"
    [approval] = crm.approvals(state="withdrawn")
    assert technical_manager.approvals(mine=True) == []
    refused = technical_manager.decide(approval)
    assert (refused.status_code, refused.json()["detail"]) == (409, "This approval is withdrawn.")
    assert "approval.withdrawn" in [action for action, *_ in audited(services)]
    assert worker.started == []


def test_what_runs_again_needs_what_the_rules_say_now(
    services: Services, stage: Stage, crm: Person, person: NewPerson, worker: HandWorker
) -> None:
    """PB-17: a failed opening with a profile that is allowed no more is not simply retried."""
    person("JD-004")
    worker.automatic, worker.failure = True, DENIED
    stage.put(with_settings(services, profiles_allowed=tuple(Profile)))
    operation = crm.ask(profile="read-only").json()
    stage.put(services)
    refused = crm.http.post(f"/v1/operations/{operation['id']}/retry")
    assert refusal(refused) == (409, "approval-required")
    stage.put(with_settings(services, profiles_allowed=tuple(Profile)))
    worker.automatic = False
    assert crm.http.post(f"/v1/operations/{operation['id']}/retry").status_code == 202


def test_an_approved_operation_that_failed_may_run_again(
    crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """What was approved stays approved for this operation."""
    worker.automatic, worker.failure = True, DENIED
    operation = crm.ask("US").json()
    technical_manager.decide(crm.approvals()[0])
    worker.automatic = False
    answer = crm.http.post(f"/v1/operations/{operation['id']}/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
