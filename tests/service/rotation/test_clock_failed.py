"""The clock and clients whose closing did not end well: what their keys may still do ends."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.localaws import LocalAws
from models.access_keys import AccessKey
from models.base import utc_now
from models.database import transaction
from models.operations import OperationKind
from service.assembly import Runtime, build_areas
from service.rotation.due import ENDED
from service.worker.timekeeper import Timekeeper
from tests.faults.faults import DENIED
from tests.faults.proxy import FaultProxy
from tests.service.house import House
from tests.service.rotation.test_clock import noon, told
from tests.service.suspension.hands import (
    Hands,
    actions,
    change,
    denied,
    hands_of,
    held_keys,
    works,
)


@pytest.fixture
def left_failed(idle: House, slug: str, local_aws: LocalAws) -> str:
    """A client whose closing was refused by AWS before its keys were off."""
    with FaultProxy(local_aws) as proxy:
        proxy.inject("UpdateAccessKey", DENIED)
        areas = build_areas(idle.services.settings, proxy.environment())
        refused = House(Runtime(replace(idle.services, areas=areas), None), idle.aws, idle.api)
        with hands_of(refused) as hands:
            hands.drive(idle.ask_close(slug).json()["id"])
    assert idle.client(slug).state == "failed"
    return slug


def set_key(idle: House, key: AccessKey, **values: Any) -> None:
    """Set columns of a key's row."""
    with transaction(idle.services.database) as session:
        row = session.get_one(AccessKey, key.id)
        for name, value in values.items():
            setattr(row, name, value)


def unfinished(idle: House, slug: str) -> list[Any]:
    """The client's operations that are not finished."""
    return [o for o in idle.unfinished() if o.client_id == idle.client(slug).id]


def test_the_end_of_validity_holds_where_a_closing_failed(idle: House, left_failed: str) -> None:
    [key] = idle.keys(left_failed)
    ends = idle.services.today() + timedelta(days=5)
    change(idle, left_failed, valid_until=ends)
    clock = Timekeeper(idle.services)
    clock.tick()
    assert told(idle, left_failed) == [5]
    assert works(idle, key)
    clock.tick(datetime(ends.year, ends.month, ends.day, tzinfo=idle.services.settings.zone))
    client = idle.client(left_failed)
    assert (client.state, client.suspended_reason) == ("failed", ENDED)
    assert not works(idle, key)
    assert denied(idle, left_failed)


def test_the_timers_of_a_rotation_hold_where_a_closing_failed(
    idle: House, left_failed: str, hands: Hands
) -> None:
    """The key is turned off by a direct call: nothing that was torn down is made again for it."""
    [key] = idle.keys(left_failed)
    set_key(idle, key, turn_off_at=utc_now(), delete_at=utc_now() + timedelta(days=1))
    idle.iam.remove_user_from_group(GroupName="Clients", UserName=left_failed)
    clock = Timekeeper(idle.services)
    clock.tick()
    [operation] = unfinished(idle, left_failed)
    assert operation.kind is OperationKind.update
    hands.drive(operation.id)
    assert hands.operation(operation.id).state == "succeeded"
    assert held_keys(idle, left_failed) == {key.access_key_id: "Inactive"}
    assert idle.iam.list_groups_for_user(UserName=left_failed)["Groups"] == []
    clock.tick(utc_now() + timedelta(days=3))
    assert unfinished(idle, left_failed) == []
    hands.drive(idle.ask_close(left_failed).json()["id"])
    assert idle.client(left_failed).state == "closed"


def test_an_old_key_is_reported_where_a_closing_failed(idle: House, left_failed: str) -> None:
    """RX-25."""
    [key] = idle.keys(left_failed)
    set_key(idle, key, created_at=utc_now() - timedelta(days=181))
    Timekeeper(idle.services).tick()
    assert actions(idle, left_failed).count("key.aged") == 1


def test_the_clock_leaves_a_client_alone_whose_keys_are_off(
    idle: House, slug: str, hands: Hands
) -> None:
    """A closing that was cancelled in its middle: no key works, so that no day has to end it."""
    [key] = idle.keys(slug)
    set_key(idle, key, turn_off_at=utc_now())
    operation = idle.ask_close(slug).json()["id"]
    hands.drive(operation, before="tear down", act=lambda: cancel(idle, operation))
    client = idle.client(slug)
    assert (hands.operation(operation).state, client.state) == ("cancelled", "failed")
    change(idle, slug, valid_until=idle.services.today())
    Timekeeper(idle.services).tick(noon(idle, idle.services.today() + timedelta(days=2)))
    assert idle.client(slug).suspended_at is None
    assert unfinished(idle, slug) == []


def cancel(idle: House, operation_id: str) -> None:
    """Cancel an operation over HTTP."""
    body = {"mode": "roll_back", "reason": "not this one"}
    answer = idle.api.post(f"/v1/operations/{operation_id}/cancel", json=body)
    assert answer.status_code in (200, 202), answer.text


@pytest.mark.parametrize("before", ["open", "suspended"])
def test_a_running_close_that_is_cancelled_before_it_has_begun_leaves_the_client_as_it_was(
    idle: House, slug: str, hands: Hands, before: str
) -> None:
    [key] = idle.keys(slug)
    if before == "suspended":
        assert idle.api.post(f"/v1/clients/{slug}/suspend").status_code == 200
    operation = idle.ask_close(slug).json()["id"]
    hands.drive(operation, before="key off", act=lambda: cancel(idle, operation))
    assert hands.operation(operation).state == "cancelled"
    assert "Nothing of it had begun" in (hands.operation(operation).next_step or "")
    assert idle.client(slug).state == before
    assert works(idle, key) is (before == "open")


def test_a_close_that_was_suspended_before_it_was_cancelled_does_not_open_again(
    idle: House, slug: str, hands: Hands
) -> None:
    operation = idle.ask_close(slug).json()["id"]

    def act() -> None:
        assert idle.api.post(f"/v1/clients/{slug}/suspend").status_code == 200
        cancel(idle, operation)

    hands.drive(operation, before="key off", act=act)
    assert idle.client(slug).state == "suspended"


def test_who_was_told_of_the_end_is_not_locked_again_at_each_look(
    idle: House, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is locked when there is something to write about it, and not every five seconds."""
    change(idle, slug, valid_until=idle.services.today() + timedelta(days=20))
    clock = Timekeeper(idle.services)
    clock.tick()
    assert told(idle, slug) == [20]
    looked: list[str] = []
    monkeypatch.setattr(clock, "_alone", lambda client_id, _: looked.append(client_id))
    clock.tick()
    assert idle.client(slug).id not in looked


def test_a_due_key_waits_for_other_work_without_a_lock_at_each_look(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = idle.api.post(f"/v1/clients/{slug}/rotate").json()["id"]
    set_key(idle, idle.keys(slug)[0], turn_off_at=utc_now())
    clock, looked = Timekeeper(idle.services), list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "_alone", lambda client_id, _: looked.append(client_id))
        clock.tick()
    assert idle.client(slug).id not in looked
    hands.drive(operation)
