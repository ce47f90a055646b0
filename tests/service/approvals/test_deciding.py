"""Who may decide: roles, the alternate, delegations, several people; and nobody their own."""

from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import TypeAdapter

from models.actors import Actor, ActorKind
from models.approvals import Condition
from models.database import transaction
from models.operations import OperationState
from service.accounts import set_actor_active
from service.approvals.rules import ApprovalRules, Rule
from service.context import Services
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
from tests.service.http.handworker import HandWorker

RULES = TypeAdapter(list[Rule])


def rules(*changed: dict[str, Any]) -> ApprovalRules:
    """Rules for each condition, with those of the given names changed or added."""
    base = [
        {"name": "jurisdiction", "when": Condition.other_jurisdiction, "role": "JD-005"},
        {"name": "special", "when": Condition.special_category, "role": "JD-004"},
        {"name": "profile", "when": Condition.profile, "role": "JD-004"},
    ]
    by_name = {rule["name"]: rule for rule in base}
    for change in changed:
        by_name[change["name"]] = by_name.get(change["name"], {}) | change
    return ApprovalRules(rules=tuple(RULES.validate_python(list(by_name.values()))))


def test_nobody_approves_their_own_request(person: NewPerson, worker: HandWorker) -> None:
    """SP-04: nor rejects it; another holder of the role decides."""
    asks, other = person("JD-005", name="one"), person("JD-005", name="two")
    asks.ask("US")
    [approval] = asks.approvals()
    for verdict in ("approve", "reject"):
        refused = asks.decide(approval, verdict)
        assert refusal(refused) == (403, "may-not-decide")
        assert "their own request" in refused.json()["detail"]
    assert asks.approvals(mine=True) == []
    assert [one["id"] for one in other.approvals(mine=True)] == [approval["id"]]
    assert other.decide(approval).json()["state"] == "approved"
    assert len(worker.started) == 1


def test_the_alternate_decides_for_the_only_holder(person: NewPerson) -> None:
    """SP-04: the JD-001 decides what the only JD-005 asks for, and nothing else of the role's."""
    only, manager = person("JD-005"), person("JD-001")
    only.ask("US")
    [approval] = manager.approvals(mine=True)
    decided = manager.decide(approval).json()
    assert decided["state"] == "approved"
    assert decided["decisions"][0]["role"] == "JD-001"


def test_the_alternate_does_not_decide_where_the_role_has_others(
    crm: Person, person: NewPerson
) -> None:
    manager = person("JD-001")
    asks = person("JD-005", name="one")
    person("JD-005", name="two")
    asks.ask("US")
    assert refusal(manager.decide(crm.approvals()[0])) == (403, "may-not-decide")
    assert manager.approvals(mine=True) == []


def test_who_holds_the_role_changes_while_it_waits(
    services: Services, crm: Person, person: NewPerson
) -> None:
    """RX-22: who is disabled decides nothing; the alternate comes in where nobody else is left."""
    asks, other = person("JD-005", name="one"), person("JD-005", name="two")
    manager = person("JD-001")
    asks.ask("US")
    with transaction(services.database) as session:
        by = session.get_one(Actor, manager.id)
        set_actor_active(session, by, other.name, active=False)
    assert other.decide(crm.approvals()[0]).status_code == 401
    assert manager.decide(crm.approvals()[0]).json()["state"] == "approved"


@pytest.mark.parametrize(
    ("asking", "others", "missing"),
    [
        ((), (), "JD-005"),
        ((), ("JD-001", "JD-004"), "JD-005"),
        (("JD-005",), (), "JD-001"),
        (("JD-005", "JD-001"), (), "JD-001"),
    ],
)
def test_what_nobody_could_approve_is_refused(
    services: Services,
    person: NewPerson,
    asking: tuple[str, ...],
    others: Iterable[str],
    missing: str,
) -> None:
    """SP-04: the refusal names the rule and who is missing, and nothing is written."""
    asks = person(*asking, name="who asks")
    for role in others:
        person(role)
    # A system is nobody who could approve.
    person("JD-005", "JD-001", name="robot", kind=ActorKind.system)
    answer = asks.ask("US")
    assert refusal(answer) == (409, "nobody-can-approve")
    assert answer.json()["missing"] == [{"rule": "jurisdiction", "role": missing, "missing": 1}]
    assert f"jurisdiction: 1 × {missing}" in answer.json()["detail"]
    assert asks.http.get(CLIENT).status_code == 404
    assert audited(services) == []


def test_every_rule_that_nobody_could_meet_is_named(person: NewPerson, crm: Person) -> None:
    person("JD-001")
    answer = crm.ask("US", special_category=True, profile="read-only")
    assert [m["role"] for m in answer.json()["missing"]] == ["JD-005", "JD-004"]


def test_several_rules_are_all_to_be_met(
    crm: Person, person: NewPerson, worker: HandWorker
) -> None:
    """SP-04, SP-09: one may hold several roles; the last approval lets the work begin."""
    technical, quality = person("JD-005"), person("JD-004")
    general = person("JD-001")
    crm.ask("US", special_category=True, profile="read-only")
    waiting = {one["rule"]: one for one in crm.approvals()}
    assert set(waiting) == {"jurisdiction", "special-category", "profile"}
    technical.decide(waiting["jurisdiction"])
    general.decide(waiting["special-category"])
    operation = crm.operation(waiting["profile"])
    assert operation["state"] == "awaiting_approval"
    assert operation["waiting_for"].startswith("approval by JD-004: the profile read-only")
    assert worker.started == []
    quality.decide(waiting["profile"])
    assert worker.started == [operation["id"]]


def test_one_rejection_withdraws_the_other_approvals(crm: Person, person: NewPerson) -> None:
    technical = person("JD-005")
    person("JD-001")
    crm.ask("US", special_category=True)
    waiting = {one["rule"]: one for one in crm.approvals()}
    technical.decide(waiting["jurisdiction"], "reject")
    states = {one["rule"]: one["state"] for one in crm.approvals()}
    assert states == {"jurisdiction": "rejected", "special-category": "withdrawn"}


def test_a_rule_may_ask_for_several_people(
    services: Services, stage: Stage, crm: Person, person: NewPerson, worker: HandWorker
) -> None:
    """`how many`: two different people, and the same one only once."""
    two = rules({"name": "jurisdiction", "approvers": 2})
    stage.put(with_settings(services, approval_rules=two))
    first, second = person("JD-005", name="one"), person("JD-005", name="two")
    crm.ask("US")
    [approval] = crm.approvals()
    assert crm.operation(approval)["waiting_for"].startswith("approval by 2 × JD-005")
    for _ in range(2):
        given = first.decide(approval).json()
        assert (given["state"], given["given"]) == ("waiting", 1)
    assert first.approvals(mine=True) == []
    assert refusal(first.decide(approval, "reject")) == (409, "approval-ended")
    assert worker.started == []
    assert second.decide(approval).json()["given"] == 2
    assert len(worker.started) == 1
    assert [action for action, *_ in audited(services)].count("approval.approved") == 2


def test_too_few_people_for_a_rule_are_counted(
    services: Services, stage: Stage, crm: Person, person: NewPerson
) -> None:
    """The alternate joins where the requester is one of too few."""
    stage.put(
        with_settings(services, approval_rules=rules({"name": "jurisdiction", "approvers": 2}))
    )
    asks = person("JD-005", name="one")
    other = person("JD-005", name="two")
    person("JD-005", name="three")
    answer = other.ask("US")
    assert answer.status_code == 202
    crm.http.post(f"{answer.json()['links']['self']}/cancel", json={"reason": "Another way"})
    with transaction(services.database) as session:
        set_actor_active(session, session.get_one(Actor, asks.id), "three", active=False)
    assert asks.ask("US").json()["missing"] == [
        {"rule": "jurisdiction", "role": "JD-001", "missing": 1}
    ]
    manager = person("JD-001")
    assert asks.ask("US").status_code == 202
    [approval] = asks.approvals(state="waiting")
    assert other.decide(approval).json()["state"] == "waiting"
    assert manager.decide(approval).json()["state"] == "approved"


def test_rules_that_change_change_nothing_that_waits(
    services: Services, stage: Stage, crm: Person, person: NewPerson
) -> None:
    technical, quality = person("JD-005"), person("JD-004")
    crm.ask("US")
    stage.put(
        with_settings(services, approval_rules=rules({"name": "jurisdiction", "role": "JD-004"}))
    )
    assert quality.decide(crm.approvals()[0]).status_code == 403
    assert technical.decide(crm.approvals()[0]).json()["state"] == "approved"


def test_a_decision_sent_again_changes_nothing(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """A lost answer does no harm; the other way it is refused."""
    crm.ask("US")
    [approval] = crm.approvals()
    first = technical_manager.decide(approval).json()
    count = len(audited(services))
    assert technical_manager.decide(approval).json() == first
    assert len(audited(services)) == count
    assert set(worker.started) == {first["operation"]}
    assert refusal(technical_manager.decide(approval, "reject")) == (409, "approval-ended")


def test_deciding_needs_scope_role_and_reach(
    crm: Person, person: NewPerson, technical_manager: Person
) -> None:
    """PB-16: each of them alone is not enough; out of reach looks unknown."""
    crm.ask("US")
    [approval] = crm.approvals()
    without_scope = person("JD-005", name="a", scopes=("clients:read", "clients:write"))
    assert refusal(without_scope.decide(approval)) == (403, "insufficient-scope")
    without_role = person("JD-003", name="b", scopes=("admin",))
    assert refusal(without_role.decide(approval)) == (403, "may-not-decide")
    system = person("JD-005", name="c", kind=ActorKind.system)
    assert refusal(system.decide(approval)) == (403, "may-not-decide")
    elsewhere = person("JD-005", name="d", slugs=["Other"])
    assert refusal(elsewhere.decide(approval)) == (404, "not-found")
    assert refusal(elsewhere.http.get(approval["links"]["self"])) == (404, "not-found")
    assert elsewhere.approvals() == []
    for unknown in ("0" * 32, "x", "%00", "é"):
        assert crm.http.get(f"/v1/approvals/{unknown}").status_code == 404
        assert technical_manager.decide({"id": unknown}).status_code == 404
    assert technical_manager.decide(approval).status_code == 200


@pytest.mark.parametrize("body", [{}, {"reason": "no"}, {"reason": "x" * 501}, {"reason": "a\nb"}])
def test_a_decision_has_a_reason(crm: Person, technical_manager: Person, body: Any) -> None:
    """SP-04."""
    crm.ask("US")
    [approval] = crm.approvals()
    answer = technical_manager.http.post(approval["links"]["approve"], json=body)
    assert [error["field"] for error in answer.json()["errors"]] == ["reason"]
    assert crm.approvals()[0]["state"] == "waiting"


def test_approvals_are_listed_by_page_and_filter(
    crm: Person, person: NewPerson, technical_manager: Person
) -> None:
    for number in range(5):
        request = request_with("US", legal_name=f"Client {number}")
        assert crm.http.post("/v1/clients", json=request).status_code == 202
    technical_manager.decide(crm.approvals()[0])
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next_page_token": None}
    filters = {"mine": True, "page_size": 3}
    while True:
        token = page["next_page_token"]
        asked = filters | ({"page_token": token} if token else {})
        page = technical_manager.http.get("/v1/approvals", params=asked).json()
        found += page["items"]
        if page["next_page_token"] is None:
            break
    assert [one["client"] for one in found] == [f"Client-{n}" for n in (3, 2, 1, 0)]
    assert [one["client"] for one in crm.approvals(state="approved")] == ["Client-4"]
    assert crm.http.get("/v1/approvals", params={"state": "x"}).status_code == 422
    person("JD-005", name="another")
    one_page = technical_manager.http.get("/v1/approvals", params=filters).json()
    stolen = {"mine": True, "page_token": one_page["next_page_token"]}
    assert crm.http.get("/v1/approvals", params=stolen).status_code == 400


def test_an_operation_leaves_its_state_by_an_approval_only(
    services: Services, crm: Person, technical_manager: Person, worker: HandWorker
) -> None:
    """SP-07: closing, reopening and opening again are refused while it waits."""
    crm.ask("US")
    for answer in (
        crm.http.delete(CLIENT, params={"reason": "Not wanted"}),
        crm.http.post(f"{CLIENT}/reopen"),
    ):
        assert refusal(answer) == (409, "operation-in-progress")
        assert answer.json()["links"]["operation"].endswith(stored_approval(services).operation_id)
    assert crm.operation(crm.approvals()[0])["state"] == OperationState.awaiting_approval
