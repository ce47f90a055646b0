"""A secret is forgotten in the state, its backups and its history, on either engine (PB-13)."""

from pathlib import Path

import pytest

from stacks.areas import Areas
from stacks.automation import Stacks
from stacks.failures import CANCELLED, StackError
from stacks.foundation import FoundationInputs
from tests.stacks.conftest import NewArea
from tests.stacks.kept import secrets_kept
from tests.stacks.test_stopping import made

__all__ = ["made"]


def test_the_secret_is_gone_from_every_file_and_the_key_stays(
    made: Stacks,
    areas: Areas,
    inputs: FoundationInputs,
    new_area: NewArea,
) -> None:
    assert areas.readiness().foundation
    mine = Areas(made, bucket=inputs.bucket, region=inputs.region, group=inputs.group)
    area = new_area()
    [key] = mine.open(area).keys
    state = Path(made.backend.url.removeprefix("file://"))
    passphrase = made.backend.passphrase or ""
    assert key.secret_access_key in secrets_kept(state, passphrase, area.slug)

    for _ in range(2):
        mine.forget_secrets(area, {1})
        assert key.secret_access_key not in secrets_kept(state, passphrase, area.slug)
    [again] = mine.open(area).keys
    assert (again.access_key_id, again.secret_access_key) == (key.access_key_id, "")
    assert mine.drift(area) == []
    mine.close(area)


def test_it_stops_when_asked_and_is_carried_on_later(areas: Areas, new_area: NewArea) -> None:
    """What was stopped half-way forgets all of it the next time; the key stays."""
    area = new_area()
    [key] = areas.open(area).keys
    with pytest.raises(StackError) as caught:
        areas.forget_secrets(area, {1}, should_stop=lambda: True)
    assert caught.value.failure.code == CANCELLED

    areas.forget_secrets(area, {1}, should_stop=lambda: False)
    backend = areas.stacks.backend
    state = Path(backend.url.removeprefix("file://"))
    assert key.secret_access_key not in secrets_kept(state, backend.passphrase or "", area.slug)
    [again] = areas.open(area).keys
    assert (again.access_key_id, again.secret_access_key) == (key.access_key_id, "")
    areas.close(area)
