"""The real application on a real server on loopback, a real database, real records, the local AWS.

The worker is driven by hand (`handworker`), so that tests decide when an operation ends.
"""

import copy
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from starlette import types as asgi

from engine.localaws import LocalAws
from models.actors import Actor, ApiToken, Scope, mint_token
from models.base import utc_now
from models.database import create_engine_for, transaction, upgrade
from models.sealing import Keyring
from service.context import Services
from service.freezing import Endpoint
from service.http.app import create_app
from service.hub import OperationHub
from service.records import RecordOffice
from service.settings import LocalSettings, Settings
from stacks.areas import Areas
from tests.service.http.handworker import HandWorker
from tests.service.http.local_areas import build_local_areas

ABC_LLC: dict[str, Any] = {
    "legal_name": "ABC LLC",
    "purpose": "Clinical validation of the device",
    "data_categories": ["clinical images"],
    "contract": {
        "kind": "dpa",
        "reference": "DPA-2026-014",
        "signed_on": "2026-03-31",
        "jurisdiction": "ES",
        "signer": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@abc.example"},
    },
}

TokenFactory = Callable[..., str]


@pytest.fixture
def abc_llc() -> dict[str, Any]:
    """A request for an area that is all right; change it freely."""
    return copy.deepcopy(ABC_LLC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a local service in the test's folder, with short waits."""
    return LocalSettings(
        data_directory=tmp_path, passphrase=SecretStr("of the test"), wait_limit_seconds=5
    )


@pytest.fixture(scope="session")
def areas(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Areas:
    """The areas of the local AWS, shared: what this folder's tests do to it is read-only."""
    return build_local_areas(local_aws, tmp_path_factory.mktemp("areas"))


@pytest.fixture
def worker() -> HandWorker:
    """The worker of the test, driven by hand."""
    return HandWorker()


@pytest.fixture
def database_url(migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a migrated database: a SQLite file, unless a test overrides it."""
    shutil.copy(migrated_file, tmp_path / "handover.db")
    return f"sqlite:///{tmp_path / 'handover.db'}"


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, for copying: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("migrated") / "handover.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def services(
    settings: Settings, areas: Areas, worker: HandWorker, database_url: str, tmp_path: Path
) -> Iterator[Services]:
    """All parts of the service, on a migrated database."""
    database = create_engine_for(database_url)
    settings.keyring.parent.mkdir(mode=0o700, exist_ok=True)
    keyring = Keyring.generate(settings.keyring)
    made = Services(
        settings=settings,
        database=database,
        keyring=keyring,
        areas=areas,
        dispatcher=worker,
        hub=OperationHub(),
        records=RecordOffice(settings, keyring, Endpoint()),
    )
    worker.services = made
    yield made
    database.dispose()


class Stage:
    """One server for all tests of a process, on which each test puts its own application."""

    def __init__(self) -> None:
        self.application: asgi.ASGIApp | None = None
        self.address = ""

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Pass a request on to the application of the test."""
        assert self.application is not None, "no test is running"
        await self.application(scope, receive, send)

    def put(self, services: Services) -> str:
        """Put an application over these services on the stage and return its address."""
        self.application = create_app(services)
        return self.address


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The stage, on a free port of loopback."""
    made = Stage()
    config = uvicorn.Config(
        made,
        port=0,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    made.address = f"http://127.0.0.1:{port}"
    yield made
    server.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def address(stage: Stage, services: Services) -> str:
    """The address of the application on a real server."""
    return stage.put(services)


@pytest.fixture
def token(services: Services) -> TokenFactory:
    """`token("clients:read", slugs=[…])`: mints a token for an actor of its own."""
    return lambda *scopes, **options: mint(services, *scopes, **options)


@pytest.fixture
def api(address: str, token: TokenFactory) -> Iterator[httpx.Client]:
    """A caller who may do everything but administer."""
    scopes = ("clients:read", "clients:write", "clients:close", "records:read")
    with caller(address, token(*scopes)) as client:
        yield client


@pytest.fixture
def admin(address: str, token: TokenFactory) -> Iterator[httpx.Client]:
    """A caller who may do everything."""
    with caller(address, token("admin")) as client:
        yield client


def caller(address: str, bearer: str) -> httpx.Client:
    """An HTTP client that sends this token."""
    return httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {bearer}"}, timeout=90, trust_env=False
    )


def mint(
    services: Services,
    *scopes: str,
    slugs: list[str] | None = None,
    days: int = 1,
    actor: Actor | None = None,
) -> str:
    """Store a token of a new actor, unless one is given, and return it in clear."""
    minted = mint_token()
    with transaction(services.database) as session:
        if actor is None:
            actor = Actor(name=f"actor {minted.hint} {minted.sha256[:8]}")
            session.add(actor)
            session.flush()
        session.add(
            ApiToken(
                actor_id=actor.id,
                token_sha256=minted.sha256,
                hint=minted.hint,
                scopes=[Scope(scope).value for scope in scopes],
                slugs=slugs,
                expires_at=utc_now() + timedelta(days=days),
            )
        )
    return minted.plain


def with_settings(services: Services, **changes: Any) -> Services:
    """The same services under other settings."""
    return replace(services, settings=services.settings.model_copy(update=changes))
