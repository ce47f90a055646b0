"""Rotation: a second key first, proven, with the next record; then an end to the first."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.database import transaction
from models.operations import Operation, OperationKind, OperationState, Priority
from models.records import Record
from service.reconcile import survey
from service.settings import LocalSettings
from service.worker.timekeeper import Timekeeper
from tests.service.house import House
from tests.service.suspension.hands import (
    Hands,
    actions,
    denied,
    held_keys,
    living,
    secret_of,
    works,
)

LEAK = {"now": "true", "reason": "The key was seen in a public repository"}


def records(house: House, slug: str) -> list[Record]:
    """The client's records, by number."""
    client = house.client(slug)
    with transaction(house.services.database, write=False) as session:
        found = session.exec(select(Record).where(Record.client_id == client.id)).all()
    return sorted(found, key=lambda record: (record.year, record.sequence))


def rotate(house: House, slug: str, **how: Any) -> str:
    """Ask for a rotation; return its operation's id."""
    answer = house.api.post(f"/v1/clients/{slug}/rotate", params=how)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def pending(house: House, slug: str) -> Operation | None:
    """The client's unfinished operation."""
    found = [o for o in house.unfinished() if o.client_id == house.client(slug).id]
    return found[0] if found else None


def test_both_keys_work_in_the_overlap_and_the_new_one_has_its_record(
    idle: House, slug: str, hands: Hands
) -> None:
    """RX-25: one call; second key first, proven, next record number; 7 days for the change."""
    [first] = idle.keys(slug)
    operation = rotate(idle, slug)
    steps = list(hands.steps(operation))
    assert steps == ["make room", "apply", "hand over", "end"]
    assert hands.operation(operation).state is OperationState.succeeded

    old, new = idle.keys(slug)
    assert (old.id, new.generation) == (first.id, 2)
    assert new.proven_at is not None
    assert works(idle, old)
    assert works(idle, new)
    overlap = LocalSettings.model_fields["rotation_overlap_days"].default
    assert overlap == 7
    assert old.turn_off_at is not None
    assert old.delete_at is not None
    assert abs(old.turn_off_at - utc_now() - timedelta(days=7)) < timedelta(minutes=1)
    assert old.delete_at - old.turn_off_at == timedelta(days=1)
    before, after = records(idle, slug)
    assert (after.access_key_row_id, after.sequence) == (new.id, before.sequence + 1)
    issued = idle.api.get(f"/v1/clients/{slug}/record.pdf")
    assert issued.headers["Handover-Record"] == after.number
    assert actions(idle, slug)[-3:] == ["record.created", "client.rotated", "record.downloaded"]


def test_the_overlap_is_a_setting_that_a_request_may_change(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle.services.settings, "rotation_overlap_days", 2)
    for how, days in (({}, 2), ({"overlap_days": "5"}, 5)):
        operation = rotate(idle, slug, **how)
        assert hands.operation(operation).parameters["overlap_days"] == days
        body = {"reason": "Only a question"}
        assert idle.api.post(f"/v1/operations/{operation}/cancel", json=body).is_success


def test_the_clock_turns_the_old_key_off_and_deletes_it_a_day_later(
    idle: House, slug: str, hands: Hands
) -> None:
    hands.drive(rotate(idle, slug, overlap_days=3))
    old, new = idle.keys(slug)
    clock = Timekeeper(idle.services)

    clock.tick(utc_now() + timedelta(days=2, hours=23))
    assert pending(idle, slug) is None

    clock.tick(utc_now() + timedelta(days=9))
    operation = pending(idle, slug)
    assert operation is not None
    assert (operation.kind, operation.parameters["delete"]) == (OperationKind.update, [])
    # Nothing is begun twice.
    Timekeeper(idle.services).tick(utc_now() + timedelta(days=9))
    hands.drive(operation.id)
    assert held_keys(idle, slug) == {
        str(old.access_key_id): "Inactive",
        str(new.access_key_id): "Active",
    }
    # However late it was turned off, a day is left before it goes.
    clock.tick(utc_now() + timedelta(hours=23))
    assert pending(idle, slug) is None

    clock.tick(utc_now() + timedelta(hours=25))
    operation = pending(idle, slug)
    assert operation is not None
    hands.drive(operation.id)
    assert held_keys(idle, slug) == {str(new.access_key_id): "Active"}
    old, new = idle.keys(slug)
    assert (old.status, old.secret, old.delete_at) == (AccessKeyStatus.deleted, None, None)
    assert works(idle, new)
    clock.tick(utc_now() + timedelta(days=20))
    assert pending(idle, slug) is None


def test_what_is_due_waits_while_other_work_is_under_way(
    idle: House, slug: str, hands: Hands
) -> None:
    hands.drive(rotate(idle, slug, overlap_days=0))
    repair = idle.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"}).json()["id"]
    clock = Timekeeper(idle.services)
    clock.tick()
    assert getattr(pending(idle, slug), "id", None) == repair
    hands.drive(repair)
    clock.tick()
    assert getattr(pending(idle, slug), "kind", None) is OperationKind.update
    hands.drive(str(getattr(pending(idle, slug), "id", "")))


def test_a_leaked_key_is_cut_before_the_answer(idle: House, slug: str, hands: Hands) -> None:
    """`?now=true`: no worker has run yet, and the old key is dead; then the new one is made."""
    [old] = idle.keys(slug)
    operation = rotate(idle, slug, **LEAK)
    assert not works(idle, old)
    row = hands.operation(operation)
    assert (row.state, row.priority, row.reason) == (
        OperationState.pending,
        Priority.urgent,
        LEAK["reason"],
    )
    hands.drive(operation)
    old, new = idle.keys(slug)
    assert (old.status, old.turn_off_at) == (AccessKeyStatus.inactive, None)
    assert works(idle, new)
    assert not works(idle, old)
    assert not denied(idle, slug)
    clock = Timekeeper(idle.services)
    clock.tick(utc_now() + timedelta(hours=25))
    hands.drive(str(getattr(pending(idle, slug), "id", "")))
    assert held_keys(idle, slug) == {str(new.access_key_id): "Active"}


def test_a_second_rotation_in_the_overlap_is_refused(idle: House, slug: str, hands: Hands) -> None:
    """Pressed twice it must not take away the key that the client still uses."""
    hands.drive(rotate(idle, slug))
    answer = idle.api.post(f"/v1/clients/{slug}/rotate")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/rotation-in-overlap")
    operation = rotate(idle, slug, now="true")
    assert not any(works(idle, key) for key in idle.keys(slug)[:2])
    hands.drive(operation)
    assert works(idle, idle.keys(slug)[2])


def test_of_two_keys_the_retired_one_goes_first(idle: House, slug: str, hands: Hands) -> None:
    """AWS allows a user two keys: there are never three, at no event of the engine."""
    hands.drive(rotate(idle, slug, now="true"))
    second = idle.keys(slug)[1]
    seen = []
    hands.work.meddle = lambda: seen.append(len(held_keys(idle, slug)))
    operation = rotate(idle, slug)
    for _ in hands.steps(operation):
        hands.work.every = True
        seen.append(len(held_keys(idle, slug)))
    hands.work.every = False
    assert max(seen) == 2
    assert set(held_keys(idle, slug)) == {
        str(second.access_key_id),
        str(idle.keys(slug)[2].access_key_id),
    }
    assert idle.keys(slug)[0].status is AccessKeyStatus.deleted


def test_a_failed_rotation_leaves_the_old_key_and_takes_the_new_one_away(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and a retry carries it out with the generation after."""
    [old] = idle.keys(slug)
    operation = rotate(idle, slug)
    proof = idle.services.settings.key_proof_seconds
    monkeypatch.setattr(idle.services.settings, "key_proof_seconds", 0.3)
    secrets = []

    def break_it() -> None:
        new = idle.keys(slug)[1]
        secrets.append((new, secret_of(idle.services, new)))
        idle.iam.update_access_key(UserName=slug, AccessKeyId=new.access_key_id, Status="Inactive")

    hands.drive(operation, before="hand over", act=break_it)

    row = hands.operation(operation)
    assert row.state is OperationState.failed
    assert "AccessKey key-2" in row.rolled_back
    assert "old keys are as they were" in str(row.next_step)
    assert held_keys(idle, slug) == {str(old.access_key_id): "Active"}
    assert works(idle, old)
    assert [key.id for key in living(idle.keys(slug))] == [old.id]
    assert idle.keys(slug)[1].secret is None
    assert idle.keys(slug)[0].turn_off_at is None
    assert idle.client(slug).state == "open"

    monkeypatch.setattr(idle.services.settings, "key_proof_seconds", proof)
    assert idle.api.post(f"/v1/operations/{operation}/retry").status_code == 202
    hands.drive(operation)
    assert hands.operation(operation).state is OperationState.succeeded
    assert [key.generation for key in living(idle.keys(slug))] == [1, 3]
    assert works(idle, idle.keys(slug)[2])


def test_a_key_that_is_not_proven_is_handed_to_nobody(idle: House, slug: str, hands: Hands) -> None:
    """While a rotation runs the record is still that of the old key."""
    [before] = records(idle, slug)
    operation = rotate(idle, slug)
    for step in hands.steps(operation):
        if step == "hand over":
            assert len(records(idle, slug)) == 2
            issued = idle.api.get(f"/v1/clients/{slug}/record.pdf")
            assert issued.headers["Handover-Record"] == before.number


def test_a_cancelled_rotation_leaves_the_old_key(idle: House, slug: str, hands: Hands) -> None:
    [old] = idle.keys(slug)
    operation = rotate(idle, slug)

    def cancel() -> None:
        body = {"reason": "Asked for by mistake"}
        assert idle.api.post(f"/v1/operations/{operation}/cancel", json=body).status_code == 202

    hands.drive(operation, before="hand over", act=cancel)
    assert hands.operation(operation).state is OperationState.cancelled
    assert held_keys(idle, slug) == {str(old.access_key_id): "Active"}
    assert works(idle, old)


@pytest.mark.parametrize("mode", ["roll_back", "leave"])
@pytest.mark.parametrize("now", ["false", "true"])
def test_what_a_cancelled_rotation_says_can_be_done_next_can_be_done(
    idle: House, slug: str, hands: Hands, mode: str, now: str
) -> None:
    """Left as asked the new key stays, switched off; either way the next rotation makes one."""
    [old] = idle.keys(slug)
    operation = rotate(idle, slug, now=now)
    hands.drive(operation, before="hand over", act=lambda: cancel_it(idle, operation, mode))

    row, new = hands.operation(operation), idle.keys(slug)[1]
    expected = {str(old.access_key_id): "Inactive" if now == "true" else "Active"}
    if mode == "leave":
        expected[str(new.access_key_id)] = "Inactive"
        assert str(new.access_key_id) in str(row.next_step)
    assert row.state is OperationState.cancelled
    assert held_keys(idle, slug) == expected
    assert bool(row.rolled_back) == (mode == "roll_back")
    assert drift_of(idle, slug) == []

    asked = re.search(r"POST (/v1/\S+)", row.next_step or "")
    assert asked, row.next_step
    answer = idle.api.post(asked[1])
    assert answer.status_code == 202, answer.text
    hands.drive(answer.json()["id"])
    last = idle.keys(slug)[-1]
    assert (last.generation, works(idle, last)) == (3, True)
    assert last.access_key_id in held_keys(idle, slug)


def test_a_key_that_no_record_knows_yet_is_cut_when_the_rest_is_left(
    idle: House, slug: str, hands: Hands
) -> None:
    """The worker died between AWS's answer and its own note, and the rotation was cancelled."""
    [old] = idle.keys(slug)
    operation = rotate(idle, slug)
    made = []

    def die_and_cancel() -> None:
        made.append(idle.iam.create_access_key(UserName=slug)["AccessKey"]["AccessKeyId"])
        cancel_it(idle, operation, "leave")

    hands.drive(operation, before="apply", act=die_and_cancel)
    assert hands.operation(operation).state is OperationState.cancelled
    assert held_keys(idle, slug) == {str(old.access_key_id): "Active", made[0]: "Inactive"}
    assert [key.id for key in living(idle.keys(slug))] == [old.id]
    hands.drive(rotate(idle, slug))
    assert made[0] not in held_keys(idle, slug)
    assert works(idle, idle.keys(slug)[-1])


def test_a_leaked_keys_rotation_cancelled_at_once_says_that_no_key_works(
    idle: House, slug: str
) -> None:
    operation = rotate(idle, slug, **LEAK)
    cancel_it(idle, operation, "roll_back")
    told = idle.api.get(f"/v1/operations/{operation}").json()
    assert told["state"] == "cancelled"
    assert "no key works" in told["failure"]["next_step"]
    assert list(held_keys(idle, slug).values()) == ["Inactive"]


def test_what_takes_a_key_back_asks_whether_its_worker_is_cut_off(
    idle: House, slug: str, hands: Hands
) -> None:
    operation, asked = rotate(idle, slug), []
    for step in hands.steps(operation):
        if step == "hand over":
            cancel_it(idle, operation, "roll_back")
        if step == "take back":
            hands.work._check = lambda: asked.append("cut off?")
    assert asked
    assert hands.operation(operation).state is OperationState.cancelled


def cancel_it(house: House, operation_id: str, mode: str) -> None:
    """Cancel an operation."""
    body = {"reason": "Asked for by mistake", "mode": mode}
    answer = house.api.post(f"/v1/operations/{operation_id}/cancel", json=body)
    assert answer.status_code in (200, 202), answer.text


def drift_of(house: House, slug: str) -> list[Any]:
    """What reconciling AWS with the records finds of this client."""
    return [found for found in survey(house.services) if found.slug == slug]


def test_a_suspended_client_is_rotated_only_for_a_leak(
    idle: House, slug: str, hands: Hands
) -> None:
    """Suspend, rotate with `now`, resume: the leaked key never works again, the new one does."""
    [old] = idle.keys(slug)
    idle.api.post(f"/v1/clients/{slug}/suspend")
    answer = idle.api.post(f"/v1/clients/{slug}/rotate")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/client-suspended")

    hands.drive(rotate(idle, slug, **LEAK))

    new = idle.keys(slug)[1]
    assert (idle.client(slug).state, new.proven_at) == ("suspended", None)
    assert set(held_keys(idle, slug).values()) == {"Inactive"}
    assert denied(idle, slug)
    assert idle.api.get(f"/v1/clients/{slug}/record.pdf").status_code == 409
    answer = idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "New key made"})
    assert answer.status_code == 200
    assert (works(idle, new), works(idle, old)) == (True, False)
    assert idle.keys(slug)[1].proven_at is not None
    assert idle.api.get(f"/v1/clients/{slug}/record.pdf").status_code == 200


def test_a_repeated_request_rotates_once(idle: House, slug: str, hands: Hands) -> None:
    headers = {"Idempotency-Key": f"rotate-{slug}"}
    answers = [
        idle.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"}, headers=headers)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = idle.api.post(f"/v1/clients/{slug}/rotate", headers=headers)
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    hands.drive(answers[0].json()["id"])


def test_only_what_has_an_area_is_rotated(idle: House, slug: str, hands: Hands) -> None:
    stale = {"If-Match": '"stale"'}
    assert idle.api.post(f"/v1/clients/{slug}/rotate", headers=stale).status_code == 412
    assert idle.api.post(f"/v1/clients/{slug}/rotate", params={"overlap_days": 91}).is_client_error
    operation = idle.ask_close(slug).json()["id"]
    answer = idle.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
    assert answer.json()["type"] == "/problems/operation-in-progress"
    hands.drive(operation)
    answer = idle.api.post(f"/v1/clients/{slug}/rotate")
    assert answer.json()["type"] == "/problems/client-closed"


def test_a_secret_that_was_forgotten_does_not_come_back(
    idle: House, slug: str, hands: Hands
) -> None:
    """PB-13: the engine's state still has it; the database must not get it again."""
    with transaction(idle.services.database) as session:
        session.get_one(AccessKey, idle.keys(slug)[0].id).secret = None
    hands.drive(rotate(idle, slug))
    assert [key.secret is None for key in idle.keys(slug)] == [True, False]


def test_an_update_that_fails_is_tried_again_later(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer is never lost: its time moves on, and the clock asks again."""
    hands.drive(rotate(idle, slug, overlap_days=0))
    old = idle.keys(slug)[0]
    clock = Timekeeper(idle.services)
    clock.tick()
    operation = pending(idle, slug)
    assert operation is not None
    # The engine's state lost: it would make other keys under the same records.
    program_state = idle.services.settings.data_directory / "state"
    [checkpoint] = program_state.rglob(f"{slug}.json")
    kept = checkpoint.read_bytes()
    checkpoint.unlink()
    hands.drive(operation.id)
    row = hands.operation(operation.id)
    assert (row.state, row.failure_code) == (OperationState.failed, "StackBehind")
    assert len(held_keys(idle, slug)) == 2
    checkpoint.write_bytes(kept)
    clock.tick()
    assert pending(idle, slug) is None
    clock.tick(utc_now() + timedelta(minutes=16))
    again = pending(idle, slug)
    assert again is not None
    hands.drive(again.id)
    assert held_keys(idle, slug)[str(old.access_key_id)] == "Inactive"


def test_a_retry_is_refused_as_a_new_rotation_would_be(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key of a suspended client could not be proven, and the old one would get its last
    day; on a sick machine it could not be sealed.
    """
    operation = rotate(idle, slug)
    hands.drive(operation, before="apply", act=lambda: time_is_up(idle, operation))
    assert hands.operation(operation).state is OperationState.failed
    retry = f"/v1/operations/{operation}/retry"

    assert idle.api.post(f"/v1/clients/{slug}/suspend").status_code == 200
    refused = idle.api.post(retry)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/client-suspended")
    resumed = idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "All is well"})
    assert resumed.status_code == 200, resumed.text

    with monkeypatch.context() as sick:
        sick.setattr(idle.services.settings, "disk_floor_mb", 1 << 30)
        refused = idle.api.post(retry)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/storage-low")
    assert hands.operation(operation).run == 1
    assert idle.api.post(retry).status_code == 202
    hands.drive(operation)
    assert hands.operation(operation).state is OperationState.succeeded
    assert works(idle, idle.keys(slug)[-1])


def test_the_retry_of_a_leaked_keys_rotation_passes_where_that_would(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RX-22: suspended, on a sick machine: the leaked key stays off and the new one is made
    later.
    """
    operation = rotate(idle, slug, **LEAK)
    hands.drive(operation, before="apply", act=lambda: time_is_up(idle, operation))
    assert idle.api.post(f"/v1/clients/{slug}/suspend").status_code == 200
    monkeypatch.setattr(idle.services.settings, "disk_floor_mb", 1 << 30)
    assert idle.api.post(f"/v1/operations/{operation}/retry").status_code == 202


def time_is_up(house: House, operation_id: str) -> None:
    """Let the operation's deadline pass."""
    with transaction(house.services.database) as session:
        session.get_one(Operation, operation_id).deadline_at = utc_now() - timedelta(seconds=1)
