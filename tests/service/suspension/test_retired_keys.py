"""A key that is off for good stays off, whatever gave the client's access back or worked on it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from models.access_keys import AccessKeyStatus
from models.base import utc_now
from service.worker.timekeeper import Timekeeper
from tests.faults.calls import Call
from tests.faults.faults import Tell
from tests.faults.proxy import FaultProxy
from tests.service.house import House
from tests.service.suspension.hands import Hands, held_keys, misled, secret_of, works

REASON = {"reason": "of the test"}


def work_on(house: House, slug: str, hands: Hands) -> None:
    """Repair the client, so that its stack is what the records wish now."""
    answer = house.api.post(f"/v1/clients/{slug}/refresh", params={"repair": "true"})
    hands.drive(answer.json()["id"])


@pytest.mark.parametrize("worked_on", [False, True])
@pytest.mark.parametrize("last_call", ["UpdateAccessKey", "DeleteUserPolicy"])
def test_a_resumption_gives_no_key_back_that_was_rotated_meanwhile(
    last_call: str,
    worked_on: bool,
    idle: House,
    slug: str,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RX-22: the leaked key is cut for good while the call that switches it on is on its way.

    ``worked_on``: while it was suspended, so that the stack holds the key as off already.
    """
    # The call is slow, and not sent again meanwhile.
    monkeypatch.setattr("stacks.clients.HURRIED_SECONDS", 60.0)
    [leaked] = idle.keys(slug)
    secret = secret_of(idle.services, leaked)
    assert idle.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]
    if worked_on:
        work_on(idle, slug, hands)

    rotation: list[Iterator[str]] = []

    def rotate(_: Call) -> None:
        answer = idle.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
        assert answer.status_code == 202, answer.text
        rotation.append(hands.steps(answer.json()["id"]))
        # The new key can't be proven before the denial is gone.
        assert [next(rotation[0]) for _ in range(3)] == ["make room", "apply", "hand over"]

    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        rule = proxy.inject(last_call, Tell(rotate), times=1)
        answer = other.api.post(f"/v1/clients/{slug}/resume", params=REASON)
        assert rule.hits == 1
    assert answer.status_code == 200, answer.text
    assert list(rotation[0]) == ["end"]
    old, new = idle.keys(slug)
    assert old.status is AccessKeyStatus.inactive
    assert held_keys(idle, slug)[str(old.access_key_id)] == "Inactive"
    assert not works(idle, leaked, secret)
    assert works(idle, new)
    told = {key["key_id"]: key["status"] for key in answer.json()["keys"]}
    assert told[old.access_key_id] == "Inactive"


def test_the_end_of_an_overlap_turns_a_key_off_that_the_stack_has_as_off(
    idle: House, slug: str, hands: Hands
) -> None:
    """Worked on while suspended, then resumed by direct calls: the engine sees nothing to do."""
    hands.drive(idle.api.post(f"/v1/clients/{slug}/rotate").json()["id"])
    old, new = idle.keys(slug)
    assert idle.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]
    work_on(idle, slug, hands)
    assert idle.api.post(f"/v1/clients/{slug}/resume", params=REASON).status_code == 200
    assert works(idle, old)

    Timekeeper(idle.services).tick(utc_now() + timedelta(days=7, hours=1))
    [operation] = [one for one in idle.unfinished() if one.client_id == old.client_id]
    hands.drive(operation.id)

    assert held_keys(idle, slug) == {
        str(old.access_key_id): "Inactive",
        str(new.access_key_id): "Active",
    }
