"""An operation whose client another run still works on: cancelling and the deadline end its wait.

The turn is held as a run holds it that was superseded and has not come to its end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from models.base import utc_now
from models.clients import ClientState
from models.database import transaction
from models.operations import Operation, OperationState
from service.worker.work import DEADLINE_EXCEEDED
from stacks.client import TAG_CLIENT
from tests.service.house import House, house
from tests.service.suspension.hands import held_keys, living, new_name, works
from tests.waiting import until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, local_aws: Any) -> Iterator[House]:
    """A house with its worker."""
    with house(tmp_path_factory.mktemp("turns") / "data", local_aws) as made:
        yield made


@contextmanager
def turn_of(home: House, slug: str) -> Iterator[None]:
    """Hold the client's turn in the worker of the house."""
    worker = home.runtime.worker
    assert worker is not None
    with worker._presence.turn(home.client(slug).id, lambda: None):
        yield


def operation(home: House, operation_id: str) -> Operation:
    with transaction(home.services.database, write=False) as session:
        return session.get_one(Operation, operation_id)


def running(home: House, operation_id: str) -> None:
    """Wait until the operation runs."""
    until(lambda: operation(home, operation_id).state is OperationState.running)


def ended(home: House, operation_id: str) -> Operation:
    """Wait until the operation has ended, and return it."""
    until(lambda: operation(home, operation_id).finished_at is not None)
    return operation(home, operation_id)


def cancelled(home: House, operation_id: str) -> None:
    answer = home.api.post(f"/v1/operations/{operation_id}/cancel", json={"reason": "of the test"})
    assert answer.status_code == 202, answer.text


def late(home: House, operation_id: str) -> None:
    with transaction(home.services.database) as session:
        row = session.get_one(Operation, operation_id, with_for_update=True)
        row.deadline_at = utc_now() - timedelta(seconds=1)


ENDS = [
    (cancelled, OperationState.cancelled, None),
    (late, OperationState.failed, DEADLINE_EXCEEDED),
]


@pytest.mark.parametrize(("stop", "state", "code"), ENDS)
def test_a_rotation_ends_and_the_next_one_works(
    home: House,
    stop: Callable[[House, str], None],
    state: OperationState,
    code: str | None,
) -> None:
    slug = new_name()
    home.open(slug)
    with turn_of(home, slug):
        rotation = home.api.post(f"/v1/clients/{slug}/rotate").json()["id"]
        running(home, rotation)
        stop(home, rotation)
        row = ended(home, rotation)
    assert (row.state, row.failure_code) == (state, code)
    assert "another run still works on it" in str(row.next_step)
    [old] = living(home.keys(slug))
    assert held_keys(home, slug) == {str(old.access_key_id): "Active"}

    again = home.api.post(f"/v1/clients/{slug}/rotate")
    assert again.status_code == 202, again.text
    row = ended(home, again.json()["id"])
    assert row.state is OperationState.succeeded, row.failure_detail
    assert works(home, home.keys(slug)[-1])
    home.close(slug)


@pytest.mark.parametrize(("stop", "state", "code"), ENDS)
def test_an_opening_ends_with_what_it_left_cut(
    home: House,
    stop: Callable[[House, str], None],
    state: OperationState,
    code: str | None,
) -> None:
    slug = new_name()
    home.open(slug)
    home.close(slug)
    with turn_of(home, slug):
        opening = home.api.post(f"/v1/clients/{slug}/reopen").json()["id"]
        running(home, opening)
        tag = {"Key": TAG_CLIENT, "Value": home.client(slug).id}
        home.iam.create_user(UserName=slug, Tags=[tag])
        home.iam.create_access_key(UserName=slug)
        stop(home, opening)
        row = ended(home, opening)
        assert list(held_keys(home, slug).values()) == ["Inactive"]
    assert (row.state, row.failure_code) == (state, code)
    assert "Its keys are off" in str(row.next_step)
    assert home.client(slug).state is ClientState.failed

    assert home.api.post(f"/v1/clients/{slug}/reopen").status_code == 202
    home.settle()
    assert home.client(slug).state is ClientState.open
    assert set(held_keys(home, slug)) == {home.keys(slug)[-1].access_key_id}
    home.close(slug)


def test_a_closing_ends_and_is_asked_for_again(home: House) -> None:
    slug = new_name()
    home.open(slug)
    with turn_of(home, slug):
        closing = home.ask_close(slug).json()["id"]
        running(home, closing)
        late(home, closing)
        row = ended(home, closing)
    assert (row.state, row.failure_code) == (OperationState.failed, DEADLINE_EXCEEDED)
    home.close(slug)
