"""IAM tells for seconds of what was: no suspension and no rotation takes that for an answer."""

from tests.faults.proxy import FaultProxy
from tests.service.house import House
from tests.service.suspension.hands import Hands, denied, held_keys, misled, works

REASON = {"reason": "of the test"}
LONG = 60.0


def test_suspended_again_while_aws_still_tells_of_the_first_time(idle: House, slug: str) -> None:
    """RX-22: `cut: true` means that AWS was told, after the access had been given back."""
    [key] = idle.keys(slug)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        assert other.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]
        proxy.consistency.fall_behind(LONG)
        # Another process resumes; its part of AWS knows already.
        assert idle.api.post(f"/v1/clients/{slug}/resume", params=REASON).status_code == 200
        assert works(idle, key)
        answer = other.api.post(f"/v1/clients/{slug}/suspend", params=REASON)
    assert (answer.status_code, answer.json()["cut"]) == (200, True)
    assert not works(idle, key)
    assert denied(idle, slug)
    assert held_keys(idle, slug) == {str(key.access_key_id): "Inactive"}


def test_a_leaked_key_is_rotated_while_aws_still_tells_that_it_is_off(
    idle: House, slug: str, hands: Hands
) -> None:
    [key] = idle.keys(slug)
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        assert other.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]
        proxy.consistency.fall_behind(LONG)
        assert idle.api.post(f"/v1/clients/{slug}/resume", params=REASON).status_code == 200
        answer = other.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
    assert answer.status_code == 202, answer.text
    assert held_keys(idle, slug) == {str(key.access_key_id): "Inactive"}
    hands.drive(answer.json()["id"])
    assert works(idle, idle.keys(slug)[1])


def test_a_suspension_is_confirmed_when_aws_tells_of_it(idle: House, slug: str) -> None:
    with FaultProxy(idle.aws) as proxy, misled(idle, proxy) as other:
        assert other.api.post(f"/v1/clients/{slug}/suspend", params=REASON).json()["cut"]
        assert other.api.post(f"/v1/clients/{slug}/resume", params=REASON).status_code == 200
        proxy.consistency.fall_behind(1.5)
        answer = other.api.post(f"/v1/clients/{slug}/suspend", params=REASON)
    assert (answer.status_code, answer.json()["cut"]) == (200, True)
