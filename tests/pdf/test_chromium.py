"""Chromium's own viewer opens the record with the signer's name, and with nothing else (SP-28)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pdf import SignerName, issue
from tests.pdf.chromium import Chromium, chromium
from tests.pdf.records import SECRET, make_record


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests of this module."""
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.parametrize(
    "name",
    [
        "Ada Lovelace",
        "José Ángel Núñez",
        "María del Carmen Fernández-Villaverde González",
        "Юлия Сергеевна Ёлкина",
    ],
)
def test_sp_28_the_viewer_asks_for_the_name_and_opens(
    browser: Chromium, tmp_path: Path, name: str
) -> None:
    """Accents, two surnames, Cyrillic: typed in, as they stand in the contract."""
    file = tmp_path / "record.pdf"
    file.write_bytes(issue(make_record(), SECRET, SignerName(full_name=name)))
    viewer = browser.open(file)
    assert viewer.state() == "asks"
    assert viewer.enter(name.lower()) == "wrong"
    assert viewer.enter(name) == "pages 4"
    viewer.close()
