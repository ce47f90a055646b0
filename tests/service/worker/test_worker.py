"""The worker in this process: what nobody starts, what breaks, and what was given up."""

import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlmodel import delete, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.actors import Actor
from models.audit import AuditEvent, verify_chain
from models.clients import Client, ClientState, Contract, ContractKind, Signer
from models.database import transaction
from models.names import entity_key, reference_key, slug_key
from models.operations import Operation, OperationKind, OperationState
from models.records import Record
from service.accounts import ensure_operator
from service.assembly import Runtime
from service.worker.circuit import Circuit
from service.worker.journal import Journal
from service.worker.opening import hand_out, make, roll_back
from service.worker.work import Superseded, Ticket, Work, failure_of
from service.worker.worker import Worker
from tests.waiting import PATIENCE, until


def wish(runtime: Runtime, slug: str, *, worker: str | None = None) -> str:
    """Write the wish for an area as the API does, and tell no worker; return its operation.

    With `worker` it is another worker's already, so that the one of the test leaves it alone.
    """
    with transaction(runtime.services.database) as session:
        operator = ensure_operator(session)
        client = client_row(slug, operator)
        contract = Contract(
            client_id=client.id,
            kind=ContractKind.dpa,
            reference=slug,
            reference_key=reference_key(slug),
            signed_on=date(2026, 1, 15),
            jurisdiction="ES",
        )
        key = AccessKey(client_id=client.id, generation=1)
        operation = Operation(
            client_id=client.id,
            kind=OperationKind.open,
            requested_by=operator.id,
            parameters={"access_key_row_id": key.id},
            worker=worker,
        )
        session.add_all(
            [
                client,
                contract,
                Signer(contract_id=contract.id, full_name="Ada Lovelace", email="a@abc.example"),
                key,
                operation,
            ]
        )
        return operation.id


def client_row(slug: str, owner: Actor) -> Client:
    return Client(
        slug=slug,
        slug_key=slug_key(slug),
        legal_name=slug,
        entity_key=entity_key(slug),
        purpose="to be tested",
        data_categories=["images"],
        owner_actor_id=owner.id,
        bucket="legit-health-clients",
        prefix=f"{slug}/",
        region="eu-west-1",
        user_name=slug,
    )


def ended(runtime: Runtime, operation_id: str) -> tuple[Operation, Client]:
    """Wait until the operation has ended; return it with its client."""

    def look() -> tuple[Operation, Client] | None:
        with transaction(runtime.services.database, write=False) as session:
            operation = session.get_one(Operation, operation_id)
            if operation.finished_at is None:
                return None
            return operation, session.get_one(Client, operation.client_id)

    return until(look, lambda: f"operation {operation_id} has not ended")


def exists(iam: Any, user: str) -> bool:
    try:
        iam.get_user(UserName=user)
    except ClientError:
        return False
    return True


def test_the_sweeper_starts_what_nobody_started(runtime: Runtime, unique: str, iam: Any) -> None:
    """Our table is the truth: a pending operation without a workflow is found."""
    operation, client = ended(runtime, wish(runtime, unique))
    assert (operation.state, client.state) == (OperationState.succeeded, ClientState.open)
    assert operation.progress_done == operation.progress_total == 5
    assert exists(iam, unique)


def test_the_sweeper_outlives_what_nobody_foresaw(
    runtime: Runtime, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of our own while it looks ends neither it nor what is accepted later."""
    broke = threading.Event()

    def claim(worker: Worker) -> None:
        monkeypatch.undo()
        broke.set()
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(Worker, "_claim", claim)
    assert broke.wait(PATIENCE)
    operation, _ = ended(runtime, wish(runtime, unique))
    assert operation.state is OperationState.succeeded


def test_an_operation_that_breaks_within_is_rolled_back_and_says_so(
    runtime: Runtime, unique: str, iam: Any
) -> None:
    """A fault of our own after AWS was changed: nothing stays, and the operation ends."""
    operation_id = wish(runtime, unique)
    with transaction(runtime.services.database) as session:
        session.exec(delete(Signer))
    operation, client = ended(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.failed, ClientState.failed)
    assert operation.failure_code == "InternalError"
    assert "User user" in operation.rolled_back
    assert not exists(iam, unique)
    with transaction(runtime.services.database, write=False) as session:
        [key] = session.exec(select(AccessKey)).all()
        assert (key.status, key.secret) == (AccessKeyStatus.deleted, None)
        assert session.exec(select(Record)).all() == []


def test_what_the_durable_engine_gave_up_begins_anew(
    runtime: Runtime, unique: str, iam: Any
) -> None:
    """A workflow that ended without ending its operation blocks nobody: another run carries on."""
    operation_id = wish(runtime, unique)
    ended(runtime, operation_id)
    with transaction(runtime.services.database) as session:
        operation = session.get_one(Operation, operation_id)
        operation.state, operation.finished_at = OperationState.running, None
        session.get_one(Client, operation.client_id).state = ClientState.opening
    operation, client = ended(runtime, operation_id)
    assert (operation.run, operation.state) == (2, OperationState.succeeded)
    assert client.state is ClientState.open
    assert len(iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]) == 1


def test_a_run_that_is_over_changes_nothing(runtime: Runtime, unique: str, iam: Any) -> None:
    """A step that comes late, or of a run that another one took over, must not touch the area."""
    operation_id = wish(runtime, unique)
    ended(runtime, operation_id)
    work = work_of(runtime)
    failure = failure_of("TooLate", "It came too late.")
    for ticket in (Ticket(operation_id, 1), Ticket(operation_id, 7)):
        with pytest.raises(Superseded):
            roll_back(work, ticket, failure)
    work.journal.close()
    operation, client = ended(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.succeeded, ClientState.open)
    assert exists(iam, unique)


def test_each_step_may_run_again(runtime: Runtime, unique: str, iam: Any) -> None:
    """Killed after its effect and before its note, a step runs twice: one key, one record."""
    operation_id = wish(runtime, unique)
    ended(runtime, operation_id)
    with transaction(runtime.services.database) as session:
        operation = session.get_one(Operation, operation_id)
        operation.state, operation.finished_at = OperationState.running, None
        # Another worker's, so that the one of this test's service leaves it alone.
        operation.worker = "another"
        session.get_one(Client, operation.client_id).state = ClientState.opening
    work, ticket = work_of(runtime), Ticket(operation_id, 1)
    for _ in range(2):
        assert make(work, ticket) is None
    assert hand_out(work, ticket) is None
    work.journal.close()
    assert len(iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]) == 1
    with transaction(runtime.services.database, write=False) as session:
        assert len(session.exec(select(Record)).all()) == 1


def work_of(runtime: Runtime) -> Work:
    """Return what steps work with, beside the service's own worker."""
    journal = Journal(runtime.services.database, runtime.services.hub)
    return Work(runtime.services, journal, Circuit(runtime.services.areas.answers))


def test_the_work_is_audited_in_the_name_of_who_asked(runtime: Runtime, unique: str) -> None:
    """RX-17: record and opening are in the chain, under the asking actor."""
    operation, _ = ended(runtime, wish(runtime, unique))
    with transaction(runtime.services.database, write=False) as session:
        events = session.exec(select(AuditEvent)).all()
        assert {"record.created", "client.opened"} <= {event.action for event in events}
        assert {event.actor_id for event in events} == {operation.requested_by}
        assert verify_chain(session).ok


def test_no_secret_is_in_what_the_durable_engine_keeps(
    runtime: Runtime, unique: str, tmp_path: Path
) -> None:
    """PB-13: steps hand on references, so the engine's own file holds no secret."""
    _, client = ended(runtime, wish(runtime, unique))
    with transaction(runtime.services.database, write=False) as session:
        [key] = session.exec(select(AccessKey).where(AccessKey.client_id == client.id)).all()
        secret = key.open_secret(runtime.services.keyring)
    assert secret
    files = list((tmp_path / "data").glob("operations.db*"))
    assert files
    assert not [file for file in files if secret.encode() in file.read_bytes()]
