"""What the clock does: validity told and ended, old keys reported, wishes tried again, restarts."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.localaws import LocalAws
from models.access_keys import AccessKey
from models.audit import AuditEvent
from models.base import utc_now
from models.database import transaction
from models.outgoing import EventType, FeedEvent
from service.accounts import TIMEKEEPER
from service.assembly import build_areas
from service.rotation.due import ENDED
from service.worker.timekeeper import VERIFY_EVERY, Timekeeper
from tests.service.house import House, house, in_threads
from tests.service.http.conftest import caller, mint
from tests.service.suspension.hands import (
    Hands,
    actions,
    change,
    denied,
    held_keys,
    new_name,
    works,
)
from tests.waiting import until


@pytest.fixture
def clock(idle: House) -> Timekeeper:
    """A timekeeper of the idle house that looks when a test says so."""
    return Timekeeper(idle.services)


def noon(house: House, day: Any) -> datetime:
    """Noon of a day where the organisation is."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=house.services.settings.zone)


def told(house: House, slug: str) -> list[int]:
    """The days left that the feed has told of the client, in order."""
    with transaction(house.services.database, write=False) as session:
        query = select(FeedEvent).where(FeedEvent.client_id == house.client(slug).id)
        events = session.exec(query.order_by(FeedEvent.sequence))  # type: ignore[arg-type]
        return [e.data["days_left"] for e in events if e.type is EventType.key_expiring]


def test_the_end_of_validity_is_told_thrice_and_ends_the_access_on_the_day(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    """30, 7 and 1 days before, once each, over restarts; then the client is suspended."""
    [key] = idle.keys(slug)
    ends = idle.services.today() + timedelta(days=40)
    change(idle, slug, valid_until=ends)
    for left in (31, 30, 30, 29, 7, 5, 1, 1):
        # A new one each time: nothing is remembered but in the rows.
        Timekeeper(idle.services).tick(noon(idle, ends - timedelta(days=left)))
    assert told(idle, slug) == [30, 7, 1]
    assert actions(idle, slug).count("client.expiring") == 3
    assert works(idle, key)

    clock.tick(datetime(ends.year, ends.month, ends.day, tzinfo=idle.services.settings.zone))

    client = idle.client(slug)
    assert (client.state, client.suspended_reason) == ("suspended", ENDED)
    assert not works(idle, key)
    assert denied(idle, slug)
    assert actions(idle, slug)[-2:] == ["client.suspended", "client.access_cut"]
    clock.tick(noon(idle, ends + timedelta(days=1)))
    assert actions(idle, slug).count("client.suspended") == 1


def test_the_day_begins_where_the_organisation_is(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    """A minute before midnight in its time zone the key still works, whatever UTC says."""
    ends = idle.services.today() + timedelta(days=40)
    change(idle, slug, valid_until=ends, expiry_warned_days=1)
    zone = idle.services.settings.zone
    midnight = datetime(ends.year, ends.month, ends.day, tzinfo=zone)
    clock.tick((midnight - timedelta(minutes=1)).astimezone(UTC))
    assert idle.client(slug).state == "open"
    clock.tick(midnight.astimezone(UTC))
    assert idle.client(slug).state == "suspended"


def test_a_downtime_does_not_tell_the_same_end_thrice(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    ends = idle.services.today() + timedelta(days=40)
    change(idle, slug, valid_until=ends)
    clock.tick(noon(idle, ends - timedelta(days=1)))
    assert told(idle, slug) == [1]


def test_more_time_is_told_anew_and_gives_the_access_back(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    """After the end: PATCH `valid_until`, then resume; the key works again."""
    [key] = idle.keys(slug)
    change(idle, slug, valid_until=idle.services.today(), expiry_warned_days=1)
    clock.tick()
    refused = idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "more time"})
    assert refused.json()["type"] == "/problems/validity-ended"
    ends = idle.services.today() + timedelta(days=20)
    etag = idle.api.get(f"/v1/clients/{slug}").headers["ETag"]
    patch = {"valid_until": ends.isoformat()}
    answer = idle.api.patch(f"/v1/clients/{slug}", json=patch, headers={"If-Match": etag})
    assert answer.status_code == 200, answer.text
    answer = idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "more time"})
    assert answer.status_code == 200, answer.text
    assert works(idle, key)
    clock.tick()
    assert told(idle, slug) == [20]


def test_an_old_key_is_reported_once_and_listed_always(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    """RX-25: 180 days."""
    [key] = idle.keys(slug)

    def made(days: int) -> None:
        with transaction(idle.services.database) as session:
            row = session.get_one(AccessKey, key.id)
            row.created_at = utc_now() - timedelta(days=days, minutes=1)

    made(179)
    clock.tick()
    assert "key.aged" not in actions(idle, slug)
    made(180)
    clock.tick()
    clock.tick()
    assert actions(idle, slug).count("key.aged") == 1
    query: dict[str, str | int] = {"older_than_days": 180, "client": slug}
    [item] = idle.api.get("/v1/keys", params=query).json()["items"]
    assert (item["key_id"], item["age_days"]) == (key.access_key_id, 180)
    assert (item["status"], item["works"]) == ("active", True)
    assert not idle.api.get("/v1/keys", params={**query, "older_than_days": 181}).json()["items"]
    idle.api.post(f"/v1/clients/{slug}/suspend")
    [item] = idle.api.get("/v1/keys", params=query).json()["items"]
    assert (item["status"], item["works"]) == ("active", False)


def test_keys_are_listed_page_by_page_within_reach(idle: House, hands: Hands) -> None:
    slugs = sorted((new_name() for _ in range(3)), key=str.lower)
    for slug in slugs:
        hands.drive(idle.ask_open(slug).json()["id"])
    bearer = mint(idle.services, "clients:read", slugs=slugs[:2])
    with caller(str(idle.api.base_url), bearer) as limited:
        pages, token = [], None
        while True:
            params = {"page_size": 1} | ({"page_token": token} if token else {})
            answer = limited.get("/v1/keys", params=params).json()
            pages.append([item["client"] for item in answer["items"]])
            assert "secret" not in str(answer).lower()
            token = answer["next_page_token"]
            if token is None:
                break
    assert pages == [[slugs[0]], [slugs[1]]]


def test_a_suspension_that_aws_did_not_confirm_is_tried_again(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    [key] = idle.keys(slug)
    away = {**idle.aws.environment(), "AWS_ENDPOINT_URL": "https://127.0.0.1:9"}
    blind = replace(idle.services, areas=build_areas(idle.services.settings, away))
    change(idle, slug, suspended_at=utc_now(), suspended_reason="of the test", state="suspended")
    Timekeeper(blind).tick()
    assert idle.client(slug).cut_at is None
    assert works(idle, key)
    clock.tick()
    assert idle.client(slug).cut_at is not None
    assert not works(idle, key)
    change(idle, slug, suspended_at=None, suspended_reason=None, state="open")
    clock.tick()
    assert (idle.client(slug).cut_at, works(idle, key)) == (None, True)


def test_a_suspension_undone_by_hand_is_put_back(idle: House, slug: str, clock: Timekeeper) -> None:
    """Somebody who switches a suspended key on in the AWS console is corrected within minutes."""
    [key] = idle.keys(slug)
    idle.api.post(f"/v1/clients/{slug}/suspend")
    clock.tick()
    idle.iam.delete_user_policy(UserName=slug, PolicyName="handover-suspended")
    idle.iam.update_access_key(UserName=slug, AccessKeyId=key.access_key_id, Status="Active")
    assert works(idle, key)
    clock.tick()
    clock.tick(utc_now() + VERIFY_EVERY)
    assert not works(idle, key)
    assert denied(idle, slug)


def test_several_clocks_do_each_thing_once(idle: House, slug: str, hands: Hands) -> None:
    """Processes that share the work have a clock each."""
    hands.drive(idle.api.post(f"/v1/clients/{slug}/rotate?overlap_days=0").json()["id"])
    change(idle, slug, valid_until=idle.services.today() + timedelta(days=7))
    in_threads(4, lambda _: Timekeeper(idle.services).tick())
    mine = [o for o in idle.unfinished() if o.client_id == idle.client(slug).id]
    assert len(mine) == 1
    assert told(idle, slug) == [7]
    hands.drive(mine[0].id)


def test_what_the_clock_does_is_audited_in_its_name(
    idle: House, slug: str, clock: Timekeeper
) -> None:
    """RX-17: a system actor of its own, without a token."""
    change(idle, slug, valid_until=idle.services.today())
    clock.tick()
    with transaction(idle.services.database, write=False) as session:
        query = select(AuditEvent).where(AuditEvent.client_id == idle.client(slug).id)
        events = [e for e in session.exec(query) if e.action == "client.suspended"]
    answer = idle.api.get(f"/v1/clients/{slug}/audit").json()["items"]
    assert events[0].actor_id in {item["actor_id"] for item in answer}
    assert TIMEKEEPER == "timekeeper"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a house that is left and entered again."""
    return tmp_path / "data"


def test_timers_survive_a_restart(folder: Path, local_aws: LocalAws) -> None:
    """The whole service with its worker and clock: rotated, stopped, started, turned off."""
    slug = new_name()
    with house(folder, local_aws) as first:
        first.open(slug)
        answer = first.api.post(f"/v1/clients/{slug}/rotate", headers={"Prefer": "wait=30"})
        assert answer.status_code == 200, answer.text
        old, new = first.keys(slug)
        with transaction(first.services.database) as session:
            session.get_one(AccessKey, old.id).turn_off_at = utc_now() + timedelta(seconds=1)
    time.sleep(1)
    with house(folder, local_aws) as second:
        until(lambda: held_keys(second, slug)[str(old.access_key_id)] == "Inactive")
        second.settle()
        assert works(second, second.keys(slug)[1])
        # A suspension with the worker at work: the answer is AWS's own, in this process.
        began = time.monotonic()
        answer = second.api.post(f"/v1/keys/{new.access_key_id}/suspend")
        assert answer.json()["cut"]
        print(f"suspended in {(time.monotonic() - began) * 1000:.0f} ms")
        assert not works(second, second.keys(slug)[1])
        second.close(slug)
