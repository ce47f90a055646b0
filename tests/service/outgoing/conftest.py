"""A real database, a real application and real receivers on loopback for webhooks out."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.actors import Actor
from models.clients import Client
from models.database import transaction, upgrade
from service.accounts import ensure_operator
from service.context import Services
from tests.models.factories import make_client, make_contract
from tests.service.http.conftest import (
    abc_llc as abc_llc,
)
from tests.service.http.conftest import (
    address as address,
)
from tests.service.http.conftest import (
    admin as admin,
)
from tests.service.http.conftest import (
    api as api,
)
from tests.service.http.conftest import (
    areas as areas,
)
from tests.service.http.conftest import (
    database_url as database_url,
)
from tests.service.http.conftest import (
    migrated_file as migrated_file,
)
from tests.service.http.conftest import (
    services as services,
)
from tests.service.http.conftest import (
    settings as settings,
)
from tests.service.http.conftest import (
    stage as stage,
)
from tests.service.http.conftest import (
    token as token,
)
from tests.service.http.conftest import (
    worker as worker,
)
from tests.service.outgoing.receiver import Receiver, receiving


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a migrated database, once of each kind."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        upgrade(url)
        return url
    shutil.copy(migrated_file, tmp_path / "handover.db")
    return f"sqlite:///{tmp_path / 'handover.db'}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers 200 unless told otherwise."""
    with receiving() as running:
        yield running


@pytest.fixture
def operator(services: Services) -> Actor:
    """Who acts."""
    with transaction(services.database) as session:
        return ensure_operator(session)


@pytest.fixture
def client(services: Services, operator: Actor) -> Client:
    """A client with a contract."""
    with transaction(services.database) as session:
        made = make_client(session, operator, "ABC-LLC", "ABC LLC")
        session.add(make_contract(made, "DPA-2026-014"))
    return made
