"""Delegations: a JD-009 decides in somebody's role on certain days (SP-16)."""

from datetime import timedelta
from typing import Any

import pytest

from models.actors import Actor
from models.approvals import Delegation
from models.database import transaction
from service.accounts import set_actor_active
from service.context import Services
from tests.service.approvals.conftest import SCOPES, NewPerson, Person, audited, refusal


@pytest.fixture
def delegate(person: NewPerson) -> Person:
    return person("JD-009", name="delegate")


def give(giver: Person, services: Services, first: int = 0, last: int = 7, **changes: Any) -> Any:
    today = services.today()
    body = {
        "role": "JD-005",
        "actor": "delegate",
        "valid_from": (today + timedelta(days=first)).isoformat(),
        "valid_until": (today + timedelta(days=last)).isoformat(),
        "reason": "Holidays",
    }
    return giver.http.post("/v1/delegations", json=body | changes)


def test_a_delegate_decides(
    services: Services, crm: Person, technical_manager: Person, delegate: Person
) -> None:
    """SP-16: the decision and the audit say by which delegation."""
    crm.ask("US")
    [approval] = crm.approvals()
    assert refusal(delegate.decide(approval)) == (403, "may-not-decide")
    given = give(technical_manager, services, last=0)
    assert given.status_code == 201, given.text
    assert given.json()["in_force"] is True
    assert [one["id"] for one in delegate.approvals(mine=True)] == [approval["id"]]
    [decision] = delegate.decide(approval).json()["decisions"]
    assert (decision["role"], decision["delegation"]) == ("JD-005", given.json()["id"])
    actions = {action: data for action, _, data in audited(services)}
    assert actions["delegation.created"]["delegate"] == delegate.id
    assert actions["approval.approved"]["delegation_id"] == given.json()["id"]
    assert "Holidays" not in str(audited(services))


@pytest.mark.parametrize(
    ("first", "last", "counts"), [(1, 7, False), (-7, -1, False), (-7, 0, True)]
)
def test_only_on_its_days(
    services: Services,
    crm: Person,
    technical_manager: Person,
    delegate: Person,
    first: int,
    last: int,
    counts: bool,
) -> None:
    """SP-16: both days included."""
    crm.ask("US")
    given = give(technical_manager, services).json()
    with transaction(services.database) as session:
        delegation = session.get_one(Delegation, given["id"])
        delegation.valid_from = services.today() + timedelta(days=first)
        delegation.valid_until = services.today() + timedelta(days=last)
    [listed] = crm.http.get("/v1/delegations").json()["items"]
    assert listed["in_force"] is counts
    assert delegate.decide(crm.approvals()[0]).status_code == (200 if counts else 403)


def test_not_after_it_was_ended(
    services: Services, crm: Person, technical_manager: Person, delegate: Person
) -> None:
    """SP-16: ended at once, by the giver, the delegate, a holder of the role or an admin."""
    crm.ask("US")
    address = give(technical_manager, services).json()["links"]["self"]
    assert refusal(crm.http.delete(address)) == (403, "may-not-delegate")
    for _ in range(2):
        ended = technical_manager.http.delete(address)
        assert (ended.status_code, ended.json()["in_force"]) == (200, False)
    assert refusal(delegate.decide(crm.approvals()[0])) == (403, "may-not-decide")
    assert [a for a, *_ in audited(services)].count("delegation.revoked") == 1
    assert technical_manager.http.delete("/v1/delegations/unknown").status_code == 404


@pytest.mark.usefixtures("delegate")
def test_not_for_the_requests_of_who_gave_it(services: Services, technical_manager: Person) -> None:
    """SP-16: giving one's role to somebody is no way to approve one's own request."""
    give(technical_manager, services)
    answer = technical_manager.ask("US")
    assert refusal(answer) == (409, "nobody-can-approve")
    assert answer.json()["missing"][0]["role"] == "JD-001"


def test_not_while_the_giver_is_disabled(
    services: Services, crm: Person, technical_manager: Person, delegate: Person
) -> None:
    """RX-22: a leaver's delegations end with them."""
    crm.ask("US")
    give(technical_manager, services)
    with transaction(services.database) as session:
        set_actor_active(
            session, session.get_one(Actor, crm.id), technical_manager.name, active=False
        )
    assert refusal(delegate.decide(crm.approvals()[0])) == (403, "may-not-decide")


def test_a_delegate_alone_is_enough_for_a_rule(
    services: Services, crm: Person, person: NewPerson, delegate: Person
) -> None:
    """SP-16: an administrator may fill in for a role that nobody holds."""
    admin = person("admin", name="administrator", scopes=("admin",))
    assert refusal(crm.ask("US")) == (409, "nobody-can-approve")
    assert give(admin, services).status_code == 201
    assert crm.ask("US").status_code == 202
    assert delegate.decide(crm.approvals()[0]).json()["state"] == "approved"


@pytest.mark.usefixtures("delegate", "crm")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "JD-009"}, "role"),
        ({"actor": "nobody"}, "actor"),
        ({"actor": "crm"}, "actor"),
        ({"actor": "technical manager"}, "actor"),
        ({"valid_until": "2020-01-01", "valid_from": "2020-01-01"}, "valid_until"),
        ({"valid_until": "2020-01-01"}, "valid_until"),
        ({"valid_until": "2099-01-01"}, "valid_until"),
        ({"valid_from": None}, "valid_from"),
        ({"reason": ""}, "reason"),
    ],
)
def test_a_delegation_that_cannot_be_is_refused(
    services: Services,
    technical_manager: Person,
    change: dict[str, Any],
    field: str,
) -> None:
    """SP-16: to a JD-009, dated, for at most a year."""
    answer = give(technical_manager, services, **change)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_only_a_holder_gives_a_role(
    services: Services, person: NewPerson, delegate: Person
) -> None:
    """SP-16, PB-16."""
    other = person("JD-004")
    assert refusal(give(other, services)) == (403, "may-not-delegate")
    without = person("JD-005", name="b", scopes=tuple(SCOPES[:-1]))
    assert refusal(give(without, services)) == (403, "insufficient-scope")
    assert refusal(give(delegate, services)) == (403, "may-not-delegate")


@pytest.mark.usefixtures("delegate")
def test_delegations_are_listed(
    services: Services, person: NewPerson, technical_manager: Person
) -> None:
    for _ in range(3):
        give(technical_manager, services)
    give(person("JD-004"), services, role="JD-004")
    read = technical_manager.http.get
    page = read("/v1/delegations", params={"role": "JD-005", "page_size": 2}).json()
    token = page["next_page_token"]
    rest = read("/v1/delegations", params={"role": "JD-005", "page_token": token}).json()
    assert [len(page["items"]), len(rest["items"])] == [2, 1]
    assert len(read("/v1/delegations").json()["items"]) == 4
