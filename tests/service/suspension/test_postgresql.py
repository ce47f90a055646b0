"""The same on PostgreSQL: rows are locked before the audit chain, so that nothing deadlocks."""

from datetime import timedelta
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from models.base import utc_now
from models.database import upgrade
from service.worker.timekeeper import Timekeeper
from tests.service.house import house, in_threads
from tests.service.suspension.hands import actions, change, hands_of, held_keys, new_name, works


@pytest.mark.timeout(120)
def test_suspended_rotated_and_resumed_by_many_at_once(
    tmp_path: Path, local_aws: LocalAws, postgres_url: str
) -> None:
    """Suspensions, resumptions and clocks in threads: the end is what was wished last."""
    upgrade(postgres_url)
    slug = new_name()
    with (
        house(
            tmp_path / "data", local_aws, worker=False, changes={"database_url": postgres_url}
        ) as place,
        hands_of(place) as hands,
    ):
        hands.drive(place.ask_open(slug).json()["id"])
        [old] = place.keys(slug)

        def act(number: int) -> None:
            verb = ("suspend", "resume")[number % 2]
            answer = place.api.post(f"/v1/clients/{slug}/{verb}", params={"reason": "of the test"})
            assert answer.status_code in (200, 409), answer.text
            Timekeeper(place.services).tick()

        in_threads(8, act)
        assert place.api.post(f"/v1/clients/{slug}/suspend").json()["cut"]
        assert not works(place, old)

        answer = place.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
        hands.drive(answer.json()["id"])
        answer = place.api.post(f"/v1/clients/{slug}/resume", params={"reason": "of the test"})
        assert (answer.status_code, answer.json()["denied"]) == (200, False)
        new = place.keys(slug)[1]
        assert (works(place, new), works(place, old)) == (True, False)

        change(place, slug, valid_until=place.services.today() + timedelta(days=7))
        later = utc_now() + timedelta(hours=25)
        in_threads(4, lambda _: Timekeeper(place.services).tick(later))
        [operation] = place.unfinished()
        hands.drive(operation.id)
        assert held_keys(place, slug) == {str(new.access_key_id): "Active"}
        assert actions(place, slug).count("client.expiring") == 1
        hands.drive(place.ask_close(slug).json()["id"])
