"""Cancel, retry, deadlines and giving up: by the steps themselves, on the real local AWS."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, ClientState
from models.database import transaction
from models.operations import CancelMode, Operation, OperationKind, OperationState
from models.records import Record
from service.accounts import ensure_operator
from service.assembly import Runtime
from service.cancelling import cancel
from service.intents import begin_close
from service.problems import Problem
from service.retrying import retry
from service.wishes import Requester
from service.worker.beginning import begin, under_way
from service.worker.circuit import Circuit
from service.worker.closing import key_off, leave_as_it_is, tear_down
from service.worker.endings import GAVE_UP, TRIES
from service.worker.journal import Entry, Journal
from service.worker.opening import make, roll_back
from service.worker.patience import carry_out
from service.worker.work import (
    DEADLINE_EXCEEDED,
    FailureReference,
    Superseded,
    Ticket,
    Work,
    failure_of,
)
from tests.service.worker.test_worker import ended, exists, wish

HAND = "by hand"


class ListeningJournal(Journal):
    """A journal that acts when a number of resources are done."""

    act: Callable[[], None] | None = None
    after = 0

    def write(self, entry: Entry) -> None:
        """Write, and act once the resource is done."""
        super().write(entry)
        if self.act is not None and entry.data.get("phase") == "done" and entry.done == self.after:
            act, self.act = self.act, None
            act()
            time.sleep(0.3)  # longer than an engine trusts the last answer to "must I stop?"


@pytest.fixture
def journal(runtime: Runtime) -> Iterator[ListeningJournal]:
    made = ListeningJournal(runtime.services.database, runtime.services.hub)
    yield made
    made.close()


@pytest.fixture
def work(runtime: Runtime, journal: ListeningJournal) -> Work:
    """What a worker has, driven by hand."""
    return Work(runtime.services, journal, Circuit(runtime.services.areas.answers), HAND)


def rows(runtime: Runtime, operation_id: str) -> tuple[Operation, Client]:
    with transaction(runtime.services.database, write=False) as session:
        operation = session.get_one(Operation, operation_id)
        return operation, session.get_one(Client, operation.client_id)


def requester(runtime: Runtime) -> Requester:
    with transaction(runtime.services.database) as session:
        return Requester(ensure_operator(session).id, None, "test")


def cancel_it(runtime: Runtime, operation_id: str, mode: CancelMode = CancelMode.roll_back) -> None:
    by = requester(runtime)
    with transaction(runtime.services.database) as session:
        operation = session.get_one(Operation, operation_id)
        client = session.get_one(Client, operation.client_id)
        cancel(session, client, operation, mode, "of the test", by)


def retry_it(runtime: Runtime, operation_id: str) -> Operation:
    by = requester(runtime)
    with transaction(runtime.services.database) as session:
        operation = session.get_one(Operation, operation_id)
        client = session.get_one(Client, operation.client_id)
        retry(session, runtime.services, client, operation, by, lambda _: None)
        return operation


def close_it(runtime: Runtime, client_id: str) -> str:
    by = requester(runtime)
    with transaction(runtime.services.database) as session:
        operation = begin_close(session, session.get_one(Client, client_id), "of the test", by)
        operation.worker = HAND
        return operation.id


def taken_up(work: Work, ticket: Ticket) -> bool:
    """Take an operation up as a worker does, and leave it as one that dies; False: given up."""
    assert begin(work, ticket) is OperationKind.open
    with under_way(work, ticket) as goes_on:
        return goes_on


def open_by_hand(work: Work, operation_id: str) -> FailureReference | None:
    """Run an opening's first step as a worker does, and its ending if it fails."""
    ticket = Ticket(operation_id, 1)
    assert begin(work, ticket) is OperationKind.open
    failure = carry_out(work, ticket, make)
    if failure is not None:
        roll_back(work, ticket, failure)
    return failure


def test_what_is_pending_is_cancelled_at_once(runtime: Runtime, unique: str, work: Work) -> None:
    operation_id = wish(runtime, unique, worker=HAND)
    cancel_it(runtime, operation_id)
    operation, client = rows(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.cancelled, ClientState.failed)
    assert operation.next_step == "Nothing was made for it."
    assert begin(work, Ticket(operation_id, 1)) is None
    with transaction(runtime.services.database, write=False) as session:
        assert session.exec(select(AccessKey)).one().status is AccessKeyStatus.deleted


def test_cancelling_stops_before_the_next_resource_and_rolls_back(
    runtime: Runtime, unique: str, iam: Any, work: Work, journal: ListeningJournal
) -> None:
    operation_id = wish(runtime, unique, worker=HAND)
    journal.after, journal.act = 2, lambda: cancel_it(runtime, operation_id)
    failure = open_by_hand(work, operation_id)
    assert failure is not None
    operation, client = rows(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.cancelled, ClientState.failed)
    assert operation.rolled_back
    assert not any("AccessKey" in resource for resource in operation.rolled_back)
    assert not exists(iam, unique)


def test_what_undoes_asks_whether_its_worker_is_cut_off(
    runtime: Runtime, unique: str, journal: ListeningJournal
) -> None:
    """Nothing stops it, but a worker that others have taken for dead has to end in it."""
    asked: list[str] = []
    circuit = Circuit(runtime.services.areas.answers)
    work = Work(runtime.services, journal, circuit, HAND, lambda: asked.append("cut off?"))
    operation_id = wish(runtime, unique, worker=HAND)
    ticket = Ticket(operation_id, 1)
    begin(work, ticket)
    assert carry_out(work, ticket, make) is None
    asked.clear()
    roll_back(work, ticket, failure_of("AccessDenied", "of the test"))
    assert asked
    assert rows(runtime, operation_id)[0].state is OperationState.failed


def test_what_was_made_is_left_as_asked_with_its_keys_cut(
    runtime: Runtime, unique: str, iam: Any, work: Work, journal: ListeningJournal
) -> None:
    operation_id = wish(runtime, unique, worker=HAND)
    journal.after = 5
    journal.act = lambda: cancel_it(runtime, operation_id, CancelMode.leave)
    ticket = Ticket(operation_id, 1)
    begin(work, ticket)
    failure = carry_out(work, ticket, make) or work.verdict(ticket)
    assert failure is not None
    roll_back(work, ticket, failure)
    operation, client = rows(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.cancelled, ClientState.failed)
    assert "left as asked" in (operation.next_step or "")
    [key] = iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"


def test_a_closing_that_has_not_begun_is_taken_back_whole(
    runtime: Runtime, unique: str, iam: Any
) -> None:
    _, client = ended(runtime, wish(runtime, unique))
    closing = close_it(runtime, client.id)
    cancel_it(runtime, closing)
    operation, client = rows(runtime, closing)
    assert (operation.state, client.state) == (OperationState.cancelled, ClientState.open)
    [key] = iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]
    assert key["Status"] == "Active"


def test_a_closing_that_has_begun_keeps_its_keys_off(
    runtime: Runtime, unique: str, iam: Any, work: Work
) -> None:
    _, client = ended(runtime, wish(runtime, unique))
    closing = close_it(runtime, client.id)
    ticket = Ticket(closing, 1)
    begin(work, ticket)
    assert carry_out(work, ticket, key_off) is None
    cancel_it(runtime, closing)
    failure = carry_out(work, ticket, tear_down)
    assert failure is not None
    leave_as_it_is(work, ticket, failure)
    operation, client = rows(runtime, closing)
    assert (operation.state, client.state) == (OperationState.cancelled, ClientState.failed)
    assert "Send DELETE" in (operation.next_step or "")
    [key] = iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"


def test_what_has_ended_cannot_be_cancelled_nor_retried(runtime: Runtime, unique: str) -> None:
    operation_id = wish(runtime, unique)
    ended(runtime, operation_id)
    with pytest.raises(Problem, match="has succeeded already"):
        cancel_it(runtime, operation_id)
    with pytest.raises(Problem, match="has succeeded"):
        retry_it(runtime, operation_id)


def test_time_that_is_up_rolls_back_and_a_retry_runs_the_same_operation_again(
    runtime: Runtime, unique: str, iam: Any, work: Work
) -> None:
    operation_id = wish(runtime, unique, worker=HAND)
    ticket = Ticket(operation_id, 1)
    begin(work, ticket)
    with transaction(runtime.services.database) as session:
        session.get_one(Operation, operation_id).deadline_at = utc_now() - timedelta(seconds=1)
    failure = carry_out(work, ticket, make)
    assert failure is not None
    assert failure["code"] == DEADLINE_EXCEEDED
    roll_back(work, ticket, failure)
    operation, client = rows(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.failed, ClientState.failed)
    assert not exists(iam, unique)

    assert retry_it(runtime, operation_id).run == 2
    with pytest.raises(Superseded):
        make(work, ticket)
    operation, client = ended(runtime, operation_id)
    assert (operation.state, client.state) == (OperationState.succeeded, ClientState.open)
    assert operation.failure_code is None
    with transaction(runtime.services.database, write=False) as session:
        keys = {key.generation: key.status for key in session.exec(select(AccessKey)).all()}
        assert keys == {1: AccessKeyStatus.deleted, 2: AccessKeyStatus.active}
        assert len(session.exec(select(Record)).all()) == 1


def test_a_poisoned_operation_is_given_up_after_five_tries_and_blocks_nobody(
    runtime: Runtime, unique: str, iam: Any, work: Work
) -> None:
    operation_id = wish(runtime, unique, worker=HAND)
    ticket = Ticket(operation_id, 1)
    for _ in range(TRIES):
        assert taken_up(work, ticket)
    make(work, ticket)
    assert not taken_up(work, ticket)
    operation, client = rows(runtime, operation_id)
    assert (operation.state, operation.failure_code) == (OperationState.failed, GAVE_UP)
    assert client.state is ClientState.failed
    assert "Its keys are off" in (operation.next_step or "")
    [key] = iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"
    other, _ = ended(runtime, wish(runtime, f"{unique}-2"))
    assert other.state is OperationState.succeeded


def test_what_kills_even_the_cutting_of_keys_just_ends(
    runtime: Runtime, unique: str, work: Work
) -> None:
    operation_id = wish(runtime, unique, worker=HAND)
    with transaction(runtime.services.database) as session:
        row = session.get_one(Operation, operation_id)
        row.deaths, row.under_way, row.state = TRIES, True, OperationState.running
    assert not taken_up(work, Ticket(operation_id, 1))
    operation, _ = rows(runtime, operation_id)
    assert operation.failure_code == GAVE_UP
    assert "Nothing was rolled back" in (operation.next_step or "")
