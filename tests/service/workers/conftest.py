"""A fleet of processes on a PostgreSQL database of the module's own."""

from collections.abc import Iterator

import pytest

from engine.localaws import LocalAws
from tests.postgres import PostgresServer, new_database
from tests.service.workers.fleet import UNHURRIED, Fleet, fleet_on


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, local_aws: LocalAws
) -> Iterator[Fleet]:
    """An API without a worker; starting it takes longer than most tests."""
    folder = tmp_path_factory.mktemp("fleet")
    with (
        new_database(postgres_server) as url,
        fleet_on(folder, url, local_aws, UNHURRIED) as made,
    ):
        made.serve()
        yield made


@pytest.fixture
def fleet(served: Fleet) -> Iterator[Fleet]:
    """The API, for tests that start workers; they end with the test."""
    yield served
    served.end_workers()
