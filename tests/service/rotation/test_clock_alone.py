"""The clock with trouble: one client's never becomes the others', and a clock that stands tells."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.localaws import LocalAws
from models.access_keys import AccessKey
from models.base import utc_now
from models.database import transaction
from models.sealing import SealedText
from service.assembly import build_areas
from service.rotation import due
from service.worker import timekeeper
from service.worker.timekeeper import Timekeeper
from tests.faults.calls import Call
from tests.faults.faults import Tell
from tests.faults.proxy import FaultProxy
from tests.service.house import House, house
from tests.service.suspension.hands import Hands, change, new_name, works

PATIENCE = 60.0


@pytest.fixture
def other(idle: House, hands: Hands) -> str:
    """Another open client."""
    name = new_name()
    hands.drive(idle.ask_open(name).json()["id"])
    return name


@contextmanager
def unreadable(idle: House, slug: str) -> Iterator[None]:
    """Make a client's row one that can't be read, as a damaged disk does, for a while."""
    write = text("UPDATE clients SET data_categories = :value WHERE slug = :slug")
    read = text("SELECT data_categories FROM clients WHERE slug = :slug")
    with idle.services.database.begin() as connection:
        before = connection.execute(read, {"slug": slug}).scalar_one()
        connection.execute(write, {"slug": slug, "value": "{"})
    try:
        yield
    finally:
        with idle.services.database.begin() as connection:
            connection.execute(write, {"slug": slug, "value": before})


def wish_cut(idle: House, *slugs: str) -> None:
    """Suspend clients in the rows only, as an API does that dies before it asks AWS."""
    for slug in slugs:
        now = utc_now()
        change(idle, slug, suspended_at=now, suspended_reason="of the test", state="suspended")


def clock_check(idle: House) -> dict[str, Any]:
    """What `/readyz` says about the clock."""
    checks = idle.api.get("/readyz").json()["checks"]
    [check] = [check for check in checks if check["name"] == "clock"]
    return dict(check)


def until(true: Any) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_row_that_cannot_be_read_ends_the_clock_for_nobody_else(
    idle: House, slug: str, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    [key] = idle.keys(other)
    clock = Timekeeper(idle.services)
    wish_cut(idle, slug, other)
    with unreadable(idle, slug):
        clock.launch()
        try:
            until(lambda: idle.client(other).cut_at is not None)
            assert not works(idle, key)
            until(lambda: slug in caplog.text)
            assert clock.stands_since() is None
        finally:
            clock.stop()
    Timekeeper(idle.services).tick()
    assert idle.client(slug).cut_at is not None


def test_each_duty_is_done_whatever_becomes_of_the_others(
    idle: House, slug: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in one question to the database is told, in the log and as a clock that stands."""

    def broken(*_: object) -> Any:
        raise TypeError("a fault of our own")

    clock = Timekeeper(idle.services)
    wish_cut(idle, slug)
    with monkeypatch.context() as patch:
        patch.setattr(due, "clients_near_their_end", broken)
        clock.launch()
        try:
            until(lambda: idle.client(slug).cut_at is not None)
            until(lambda: clock.stands_since() is not None)
        finally:
            clock.stop()
    assert "a fault of our own" in caplog.text


def test_a_key_whose_secret_is_damaged_does_not_keep_its_client_suspended(
    idle: House, slug: str
) -> None:
    """It can't be proven, which is told in the log; the client, who has it, is given it back."""
    [key] = idle.keys(slug)
    with transaction(idle.services.database, write=False) as session:
        secret = session.get_one(AccessKey, key.id).open_secret(idle.services.keyring)
    assert idle.api.post(f"/v1/clients/{slug}/suspend").status_code == 200
    with transaction(idle.services.database) as session:
        row = session.get_one(AccessKey, key.id)
        row.proven_at, row.secret = None, SealedText(bytes(row.secret or b"")[:-2] + b"AA")
    answer = idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "all is well"})
    assert answer.status_code == 200, answer.text
    assert idle.client(slug).cut_at is None
    assert works(idle, key, secret)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_clock_that_stands_is_told_by_readyz(
    tmp_path: Path, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house(tmp_path / "data", local_aws) as made:
        assert clock_check(made) == {"name": "clock", "ok": True, "detail": "goes"}

        def dies(_: Timekeeper) -> None:
            raise SystemExit  # what no handler of exceptions stops

        monkeypatch.setattr(Timekeeper, "tick", dies)
        until(lambda: not clock_check(made)["ok"])
        assert "has stood still since" in clock_check(made)["detail"]
        assert made.api.get("/readyz").status_code == 503


def test_the_day_of_all_is_written_down_before_aws_is_asked_about_anybody(
    idle: House, slug: str, other: str, local_aws: LocalAws
) -> None:
    """An AWS that does not answer takes its time over each, and the wish must not wait for it."""
    for name in (slug, other):
        change(idle, name, valid_until=idle.services.today(), expiry_warned_days=1)
    seen: list[tuple[bool, bool]] = []

    def look(_: Call) -> None:
        seen.append((suspended(slug), suspended(other)))

    def suspended(name: str) -> bool:
        return idle.client(name).suspended_at is not None

    with FaultProxy(local_aws) as proxy:
        proxy.inject("*", Tell(look))
        areas = build_areas(idle.services.settings, proxy.environment())
        Timekeeper(replace(idle.services, areas=areas)).tick()
    assert set(seen) == {(True, True)}


def test_a_day_that_comes_while_aws_takes_its_time_is_written_down_in_between(
    idle: House,
    slug: str,
    other: str,
    hands: Hands,
    local_aws: LocalAws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wish_cut(idle, slug, other)
    late = new_name()
    hands.drive(idle.ask_open(late).json()["id"])
    first: list[str] = []
    seen: list[bool] = []

    def look(call: Call) -> None:
        first.append(call.user)
        if len(first) == 1:
            change(idle, late, valid_until=idle.services.today(), expiry_warned_days=1)
        elif call.user != first[0]:
            seen.append(idle.client(late).suspended_at is not None)

    monkeypatch.setattr(timekeeper, "TICK_SECONDS", 0)
    with FaultProxy(local_aws) as proxy:
        proxy.inject("GetUser", Tell(look))
        areas = build_areas(idle.services.settings, proxy.environment())
        Timekeeper(replace(idle.services, areas=areas)).tick()
    assert seen[0]
