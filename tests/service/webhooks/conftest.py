"""A real application on a real server for webhooks that come in; the worker is driven by hand."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from models.database import upgrade
from service.context import Services
from service.settings import LocalSettings, Settings
from service.webhooks.processing import EventProcessor
from tests.service.http.conftest import address as address
from tests.service.http.conftest import admin as admin
from tests.service.http.conftest import areas as areas
from tests.service.http.conftest import database_url as database_url
from tests.service.http.conftest import migrated_file as migrated_file
from tests.service.http.conftest import services as services
from tests.service.http.conftest import stage as stage
from tests.service.http.conftest import token as token
from tests.service.http.conftest import worker as worker
from tests.service.webhooks.connected import Connected, connect
from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import BASE_URL, Contract, Tool

Connect = Callable[..., Connected]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a local service that the world reaches under a base URL."""
    return LocalSettings(
        data_directory=tmp_path,
        passphrase=SecretStr("of the test"),
        wait_limit_seconds=5,
        base_url=BASE_URL,
        webhook_fetch_seconds=30,
    )


@pytest.fixture
def contract(unique: str) -> Contract:
    """A contract that no other test uses."""
    return Contract(legal_name=f"Client {unique}", reference=f"DPA-{unique}")


@pytest.fixture
def tool_api() -> Iterator[FakeToolApi]:
    """The APIs of HubSpot and Pipedrive, on loopback."""
    with FakeToolApi() as api:
        yield api


@pytest.fixture
def visitor(address: str) -> Iterator[httpx.Client]:
    """Somebody without a token."""
    with httpx.Client(base_url=address, trust_env=False, timeout=90) as client:
        yield client


@pytest.fixture
def connected(admin: httpx.Client, visitor: httpx.Client, tool_api: FakeToolApi) -> Connect:
    """`connected(tool)`: makes a connection of the tool and returns it, ready to deliver."""

    def make(tool: Tool, **values: object) -> Connected:
        return connect(admin, visitor, tool, tool_api, **values)

    return make


@pytest.fixture
def processor(services: Services) -> EventProcessor:
    """What works on events, driven by hand."""
    return EventProcessor(services)


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a migrated database, once of each kind."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        upgrade(url)
        return url
    shutil.copy(migrated_file, tmp_path / "handover.db")
    return f"sqlite:///{tmp_path / 'handover.db'}"
