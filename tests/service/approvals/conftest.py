"""People with roles who call a real application; the worker is driven by hand."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.actors import Actor, ActorKind
from models.approvals import Approval
from models.audit import AuditEvent
from models.database import transaction
from service.context import Services
from tests.service.http.conftest import (  # noqa: F401 - fixtures
    ABC_LLC,
    address,
    areas,
    caller,
    database_url,
    migrated_file,
    mint,
    services,
    settings,
    stage,
    worker,
)

CLIENT = "/v1/clients/ABC-LLC"
SCOPES = ("records:read", "clients:read", "clients:write", "clients:close", "approvals:decide")
BECAUSE = {"reason": "Looked at and found good"}


@dataclass
class Person:
    """Somebody with roles, and what they do through the API."""

    id: str
    name: str
    http: httpx.Client = field(repr=False)

    def ask(self, jurisdiction: str = "ES", **changes: Any) -> httpx.Response:
        """Ask for the area of ABC LLC; `jurisdiction` goes into the contract."""
        return self.http.post("/v1/clients", json=request_with(jurisdiction, **changes))

    def decide(
        self, approval: dict[str, Any], verdict: str = "approve", reason: str = BECAUSE["reason"]
    ) -> httpx.Response:
        """Approve or reject."""
        path = f"/v1/approvals/{approval['id']}/{verdict}"
        return self.http.post(path, json={"reason": reason})

    def approvals(self, **filters: Any) -> list[dict[str, Any]]:
        """List approvals, newest first."""
        answer = self.http.get("/v1/approvals", params=filters)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def operation(self, approval: dict[str, Any]) -> dict[str, Any]:
        """Read the operation that waits for the approval."""
        found: dict[str, Any] = self.http.get(approval["links"]["operation"]).json()
        return found


NewPerson = Callable[..., Person]


def request_with(jurisdiction: str = "ES", **changes: Any) -> dict[str, Any]:
    """A request for the area of ABC LLC with changes."""
    request = copy.deepcopy(ABC_LLC)
    request["contract"]["jurisdiction"] = jurisdiction
    return request | changes


@pytest.fixture
def person(services: Services, address: str) -> NewPerson:  # noqa: F811 - the fixtures
    """`person("JD-005", name="…")`: an active person with these roles and a token."""

    def make(
        *roles: str,
        name: str | None = None,
        kind: ActorKind = ActorKind.person,
        scopes: tuple[str, ...] = SCOPES,
        slugs: list[str] | None = None,
    ) -> Person:
        with transaction(services.database) as session:
            actor = Actor(name=name or f"holder of {' and '.join(roles)}", roles=list(roles))
            actor.kind = kind
            session.add(actor)
        bearer = mint(services, *scopes, actor=actor, slugs=slugs)
        return Person(actor.id, actor.name, caller(address, bearer))

    return make


@pytest.fixture
def crm(person: NewPerson) -> Person:
    """A system that asks for areas and holds no role."""
    return person(name="crm", kind=ActorKind.system)


@pytest.fixture
def technical_manager(person: NewPerson) -> Person:
    """The JD-005."""
    return person("JD-005", name="technical manager")


def audited(services: Services) -> list[tuple[str, str, dict[str, Any]]]:  # noqa: F811
    """Action, actor and data of all events of the audit chain, oldest first."""
    with transaction(services.database, write=False) as session:
        events = session.exec(select(AuditEvent)).all()
    return [(event.action, event.actor_id, event.data) for event in events]


def stored_approval(services: Services) -> Approval:  # noqa: F811
    """The only approval there is."""
    with transaction(services.database, write=False) as session:
        return session.exec(select(Approval)).one()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the type of a problem."""
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")
