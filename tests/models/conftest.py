"""Migrated databases of both kinds for the tests of `models`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from models import Actor
from models.database import create_engine_for, transaction, upgrade
from tests.models.factories import make_actor


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'handover.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database, once of each kind."""
    yield from _migrated(database_url)


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """An engine on a migrated SQLite file."""
    yield from _migrated(sqlite_url)


@pytest.fixture
def actor(engine: Engine) -> Actor:
    """Somebody who acts."""
    with transaction(engine) as session:
        return make_actor(session)


def _migrated(url: str) -> Iterator[Engine]:
    upgrade(url)
    engine = create_engine_for(url)
    yield engine
    engine.dispose()
