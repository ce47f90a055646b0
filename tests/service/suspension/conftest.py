"""One house with a worker for the tests of a module, and one that is driven by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from tests.service.house import House, house
from tests.service.suspension.hands import Hands, hands_of, new_name


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, local_aws: LocalAws) -> Iterator[House]:
    """A house without a worker: nothing happens but what a test does."""
    folder: Path = tmp_path_factory.mktemp("idle") / "data"
    with house(folder, local_aws, worker=False) as made:
        yield made


@pytest.fixture
def hands(idle: House) -> Iterator[Hands]:
    """Hands that carry out the operations of the idle house."""
    with hands_of(idle) as made:
        yield made


@pytest.fixture
def slug(idle: House, hands: Hands) -> str:
    """An open client of the idle house."""
    name = new_name()
    hands.drive(idle.ask_open(name).json()["id"])
    assert idle.client(name).state == "open"
    return name
