"""Repair: what drifted is put right; a key that is gone gets a successor with its own record."""

from typing import Any

import pytest

from models.access_keys import AccessKeyStatus
from models.clients import Client
from models.database import transaction
from models.operations import OperationState
from tests.service.house import House
from tests.service.rotation.test_rotate import cancel_it, records, rotate
from tests.service.suspension.hands import Hands, actions, held_keys, living, works


def repair(house: House, slug: str, hands: Hands) -> str:
    """Ask for a repair and carry it out; return its operation's id."""
    answer = house.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    assert answer.status_code == 202, answer.text
    operation = str(answer.json()["id"])
    assert answer.headers["Location"] == f"/v1/operations/{operation}"
    hands.drive(operation)
    assert hands.operation(operation).state is OperationState.succeeded
    return operation


def drift(house: House, slug: str) -> list[dict[str, Any]]:
    """What differs, as the API tells it."""
    answer = house.api.post(f"/v1/clients/{slug}/refresh")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["drift"]
    return found


def test_a_key_that_was_removed_by_hand_gets_a_successor(
    idle: House, slug: str, hands: Hands
) -> None:
    """The next generation, the next record number; the old row ends with its secret."""
    [lost] = idle.keys(slug)
    idle.iam.delete_access_key(UserName=slug, AccessKeyId=lost.access_key_id)
    assert [item["kind"] for item in drift(idle, slug)] == ["missing"]
    assert held_keys(idle, slug) == {}

    operation = repair(idle, slug, hands)

    old, new = idle.keys(slug)
    assert (old.status, old.secret, old.access_key_id) == (
        AccessKeyStatus.deleted,
        None,
        lost.access_key_id,
    )
    assert (new.generation, set(held_keys(idle, slug))) == (2, {new.access_key_id})
    assert new.proven_at is not None
    assert works(idle, new)
    before, after = records(idle, slug)
    assert (after.sequence, after.access_key_row_id) == (before.sequence + 1, new.id)
    assert drift(idle, slug) == []
    assert actions(idle, slug)[-2:] == ["record.created", "client.repaired"]
    events = idle.api.get(f"/v1/operations/{operation}/events").text
    assert '"drift":"missing"' in events.replace(" ", "")


def test_drift_is_put_right_and_the_key_stays(idle: House, slug: str, hands: Hands) -> None:
    """A policy edited by hand is ours again; no new key, no new record, and none is switched on."""
    [key] = idle.keys(slug)
    name = f"{slug}_s3_access"
    ours = idle.iam.get_user_policy(UserName=slug, PolicyName=name)["PolicyDocument"]
    idle.iam.put_user_policy(
        UserName=slug,
        PolicyName=name,
        PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*",'
        '"Resource":"*"}]}',
    )
    idle.iam.update_access_key(UserName=slug, AccessKeyId=key.access_key_id, Status="Inactive")
    assert {item["type"] for item in drift(idle, slug)} == {
        "aws:iam/userPolicy:UserPolicy",
        "aws:iam/accessKey:AccessKey",
    }
    operation = repair(idle, slug, hands)
    assert idle.iam.get_user_policy(UserName=slug, PolicyName=name)["PolicyDocument"] == ours
    assert [one.id for one in idle.keys(slug)] == [key.id]
    assert len(records(idle, slug)) == 1
    assert actions(idle, slug)[-1] == "client.repaired"
    # Nobody here knows why it is off: it may have leaked. It is told, and whoever knows decides.
    assert not works(idle, key)
    events = idle.api.get(f"/v1/operations/{operation}/events").text
    assert f"The key {key.access_key_id} is off in AWS and stays off" in events
    hands.drive(rotate(idle, slug))
    assert not works(idle, key)
    for verb in ("suspend", "resume"):
        answer = idle.api.post(f"/v1/clients/{slug}/{verb}", params={"reason": "of the test"})
        assert answer.status_code == 200, answer.text
    assert works(idle, key)


def test_a_user_that_was_removed_by_hand_is_made_again(
    idle: House, slug: str, hands: Hands
) -> None:
    [lost] = idle.keys(slug)
    name = f"{slug}_s3_access"
    group = idle.services.settings.group
    idle.iam.delete_access_key(UserName=slug, AccessKeyId=lost.access_key_id)
    idle.iam.delete_user_policy(UserName=slug, PolicyName=name)
    idle.iam.remove_user_from_group(UserName=slug, GroupName=group)
    idle.iam.delete_user(UserName=slug)
    repair(idle, slug, hands)
    assert works(idle, idle.keys(slug)[1])
    assert drift(idle, slug) == []


def test_in_an_overlap_only_the_current_key_gets_a_successor(
    idle: House, slug: str, hands: Hands
) -> None:
    """The old key is on its way out: if it is gone early, nobody needs another one."""
    hands.drive(rotate(idle, slug))
    old, new = idle.keys(slug)
    idle.iam.delete_access_key(UserName=slug, AccessKeyId=old.access_key_id)
    repair(idle, slug, hands)
    assert [key.id for key in living(idle.keys(slug))] == [new.id]
    hands.drive(rotate(idle, slug))
    current = idle.keys(slug)[2]
    idle.iam.delete_access_key(UserName=slug, AccessKeyId=current.access_key_id)
    repair(idle, slug, hands)
    assert [key.generation for key in living(idle.keys(slug))] == [2, 4]


def test_a_repair_that_fails_can_be_retried(
    idle: House, slug: str, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The successor is taken away again, and the retry still knows that one is due."""
    [lost] = idle.keys(slug)
    idle.iam.delete_access_key(UserName=slug, AccessKeyId=lost.access_key_id)
    proof = idle.services.settings.key_proof_seconds
    monkeypatch.setattr(idle.services.settings, "key_proof_seconds", 0.3)
    answer = idle.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    operation = answer.json()["id"]

    def break_it() -> None:
        for key_id in held_keys(idle, slug):
            idle.iam.update_access_key(UserName=slug, AccessKeyId=key_id, Status="Inactive")

    hands.drive(operation, before="repaired", act=break_it)
    assert hands.operation(operation).state is OperationState.failed
    assert held_keys(idle, slug) == {}
    monkeypatch.setattr(idle.services.settings, "key_proof_seconds", proof)
    assert idle.api.post(f"/v1/operations/{operation}/retry").status_code == 202
    hands.drive(operation)
    assert hands.operation(operation).state is OperationState.succeeded
    [key] = living(idle.keys(slug))
    assert (key.generation, works(idle, key)) == (3, True)


def test_a_state_that_lost_a_key_makes_no_other_one_under_its_record(
    idle: House, slug: str, hands: Hands
) -> None:
    """As after a restore of an older state: the key that nobody's state knows is replaced."""
    state = idle.services.settings.data_directory / "state"
    [checkpoint] = state.rglob(f"{slug}.json")
    before = checkpoint.read_bytes()
    hands.drive(rotate(idle, slug))
    checkpoint.write_bytes(before)
    repair(idle, slug, hands)
    generations = [key.generation for key in living(idle.keys(slug))]
    assert generations == [1, 3]
    assert set(held_keys(idle, slug)) == {key.access_key_id for key in living(idle.keys(slug))}
    assert [record.sequence for record in records(idle, slug)][-1] == 3 + (
        records(idle, slug)[0].sequence - 1
    )


def test_only_what_has_an_area_is_repaired_by_who_may(idle: House, slug: str, hands: Hands) -> None:
    hands.drive(idle.ask_close(slug).json()["id"])
    answer = idle.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    assert answer.json()["type"] == "/problems/client-closed"
    with transaction(idle.services.database) as session:
        session.get_one(Client, idle.client(slug).id).state = "failed"  # type: ignore[assignment]
    answer = idle.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    assert answer.json()["type"] == "/problems/client-not-open"


def test_a_repair_that_was_cancelled_says_how_to_get_a_key(
    idle: House, slug: str, hands: Hands
) -> None:
    """The lost key is noted as gone by then, so that another repair would make no successor."""
    [lost] = idle.keys(slug)
    idle.iam.delete_access_key(UserName=slug, AccessKeyId=lost.access_key_id)
    asked = idle.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    operation = asked.json()["id"]
    hands.drive(operation, before="repaired", act=lambda: cancel_it(idle, operation, "leave"))
    row, [_, left] = hands.operation(operation), idle.keys(slug)
    assert row.state is OperationState.cancelled
    assert held_keys(idle, slug) == {str(left.access_key_id): "Inactive"}
    assert f"POST /v1/clients/{slug}/rotate for" in str(row.next_step)
    hands.drive(rotate(idle, slug))
    assert works(idle, idle.keys(slug)[-1])
