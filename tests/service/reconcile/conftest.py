"""A service that has lived, on an AWS of its own: what other tests leave in theirs would be found.

Tests spoil things in that AWS behind the service's back.
"""

from collections.abc import Iterator

import pytest

from engine.localaws import LocalAws
from tests.service.house import House, house


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The module's own AWS."""
    with LocalAws.start(tmp_path_factory.mktemp("aws")) as local:
        yield local


@pytest.fixture(scope="module")
def lived(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A service with open and closed clients."""
    with house(tmp_path_factory.mktemp("data"), aws) as home:
        home.open("ABC-LLC", "Closed-LLC", "Other-LLC")
        home.close("Closed-LLC")
        yield home
