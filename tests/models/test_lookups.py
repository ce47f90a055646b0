"""Lookups stay quick with thousands of clients: the database uses an index for each."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text

from models import AccessKey, Actor, Client, Contract, ContractKind, Operation
from models.base import new_id
from models.clients import Profile
from models.database import create_engine_for, transaction, upgrade
from models.operations import OperationKind, OperationState
from tests.models.factories import make_actor, make_client

CLIENTS = 500
EXPLAIN = "EXPLAIN QUERY PLAN SELECT * FROM "


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database with enough rows that its planner prefers indexes."""
    folder: Path = tmp_path_factory.mktemp("full")
    url = f"sqlite:///{folder / 'handover.db'}"
    upgrade(url)
    engine = create_engine_for(url)
    with transaction(engine) as session:
        actor = make_actor(session)
        template = make_client(session, actor, "Template")
        clients = [client_values(template, number) for number in range(CLIENTS)]
        session.connection().execute(insert(Client), clients)
        for table, make in (
            (AccessKey, key_values),
            (Contract, contract_values),
            (Operation, operation_values),
        ):
            rows = [make(client["id"], number, actor) for number, client in enumerate(clients)]
            session.connection().execute(insert(table), rows)
        session.connection().execute(text("ANALYZE"))
    yield engine
    engine.dispose()


def client_values(template: Client, number: int) -> dict[str, object]:
    slug = f"Client-{number}"
    values = {"id": new_id(), "slug": slug, "slug_key": slug.lower(), "entity_key": slug.lower()}
    return {**template.model_dump(), **values, "profile": Profile.hardened}


def key_values(client_id: object, number: int, _actor: Actor) -> dict[str, object]:
    return AccessKey(
        client_id=str(client_id), generation=1, access_key_id=f"AKIA{number:016d}"
    ).model_dump() | {"secret": None}


def contract_values(client_id: object, number: int, _actor: Actor) -> dict[str, object]:
    contract = Contract(
        client_id=str(client_id),
        kind=ContractKind.dpa,
        reference=f"DPA-{number}",
        reference_key=f"dpa-{number}",
        signed_on=date(2026, 1, 31),
        jurisdiction="ES",
    )
    return contract.model_dump()


def operation_values(client_id: object, _number: int, actor: Actor) -> dict[str, object]:
    operation = Operation(
        client_id=str(client_id),
        kind=OperationKind.open,
        state=OperationState.succeeded,
        requested_by=actor.id,
    )
    return operation.model_dump()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("clients WHERE slug_key = 'client-7'", "clients_"),
        ("clients WHERE state = 'open' ORDER BY slug_key", "ix_clients_state_slug_key"),
        ("clients WHERE slug_key > 'client-7' ORDER BY slug_key LIMIT 50", "clients_"),
        ("clients WHERE entity_key = 'client-7'", "ix_clients_entity_key"),
        ("clients WHERE valid_until < '2027-01-01'", "ix_clients_valid_until"),
        ("contracts WHERE reference_key = 'dpa-7'", "ix_contracts_reference_key"),
        ("contracts WHERE client_id = 'a' AND \"current\"", "contracts_"),
        ("access_keys WHERE access_key_id = 'AKIA0000000000000007'", "access_keys_"),
        ("access_keys WHERE client_id = 'a' ORDER BY generation", "access_keys_"),
        (
            "operations WHERE state = 'pending' ORDER BY priority, created_at",
            "operations_state_priority_created_at",
        ),
        ("operations WHERE client_id = 'a' ORDER BY created_at", "operations_client_id_created_at"),
        ("operation_events WHERE operation_id = 'a' AND sequence > 3", "operation_events_"),
        ("records WHERE number = 'T-050-003-2026-0001'", "records_"),
        ("records WHERE client_id = 'a'", "ix_records_client_id"),
        ("api_tokens WHERE token_sha256 = 'a'", "api_tokens_"),
        ("audit_events WHERE client_id = 'a' ORDER BY sequence", "ix_audit_events_client_id"),
    ],
)
def test_a_lookup_uses_an_index_and_sorts_nothing(full: Engine, query: str, index: str) -> None:
    with full.connect() as connection:
        plan = connection.exec_driver_sql(EXPLAIN + query).fetchall()
    steps = [str(row[-1]) for row in plan]
    assert all("USING" in step and index in step for step in steps), steps


def test_a_part_of_a_name_finds_its_clients(full: Engine) -> None:
    query = "SELECT id FROM clients WHERE entity_key LIKE '%ent-7%'"
    with full.connect() as connection:
        found = connection.exec_driver_sql(query).fetchall()
    assert len(found) == 1 + 10
