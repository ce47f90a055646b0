"""A whole service in this process: real parts and worker on a folder, real AWS calls, real HTTP
handlers. Tests drive it as callers do.
"""

import copy
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from sqlmodel import select

from engine.localaws import LocalAws
from models.access_keys import AccessKey
from models.clients import Client, find_client
from models.database import transaction, upgrade
from models.operations import UNFINISHED, Operation
from service.assembly import Runtime, build_foundation, running
from service.context import Services
from service.http.app import create_app
from service.local import prepare
from service.settings import Settings
from tests.localaws import client_of
from tests.service.http.conftest import ABC_LLC, caller, mint
from tests.waiting import MUCH, until


@dataclass
class House:
    """A running service; `iam` and `s3` are its AWS as root sees it."""

    runtime: Runtime
    aws: LocalAws
    api: httpx.Client

    @property
    def services(self) -> Services:
        """The service's parts."""
        return self.runtime.services

    @cached_property
    def iam(self) -> Any:
        """IAM as the root user."""
        return client_of(self.aws, "iam")

    @cached_property
    def s3(self) -> Any:
        """S3 as the root user."""
        return client_of(self.aws, "s3")

    def ask_open(self, name: str) -> httpx.Response:
        """Ask for the area of a client of this name, and do not wait."""
        request = copy.deepcopy(ABC_LLC)
        request["legal_name"] = name
        request["contract"]["reference"] = f"DPA {name}"
        return self.api.post("/v1/clients", json=request)

    def open(self, *names: str) -> None:
        """Open areas and wait until they are open."""
        for name in names:
            answer = self.ask_open(name)
            assert answer.status_code == 202, answer.text
        self.settle()
        for name in names:
            assert self.client(name).state == "open", name

    def ask_close(self, slug: str) -> httpx.Response:
        """Ask to close an area, and do not wait."""
        return self.api.delete(f"/v1/clients/{slug}", params={"reason": "of the test"})

    def close(self, *slugs: str) -> None:
        """Close areas and wait until they are closed."""
        for slug in slugs:
            assert self.ask_close(slug).status_code == 202
        self.settle()
        for slug in slugs:
            assert self.client(slug).state == "closed", slug

    def client(self, slug: str) -> Client:
        """The row of a client."""
        with transaction(self.services.database, write=False) as session:
            client = find_client(session, slug)
            assert client is not None, slug
            return client

    def clients(self) -> list[Client]:
        """The rows of all clients."""
        with transaction(self.services.database, write=False) as session:
            return list(session.exec(select(Client)))

    def keys(self, slug: str) -> list[AccessKey]:
        """The rows of a client's keys, oldest first."""
        with transaction(self.services.database, write=False) as session:
            client = find_client(session, slug)
            assert client is not None
            query = select(AccessKey).where(AccessKey.client_id == client.id)
            return sorted(session.exec(query), key=lambda key: key.generation)

    def unfinished(self) -> list[Operation]:
        """The operations that are not finished."""
        with transaction(self.services.database, write=False) as session:
            return [o for o in session.exec(select(Operation)) if o.state in UNFINISHED]

    def settle(self) -> None:
        """Wait until no operation is unfinished."""
        until(
            lambda: not self.unfinished(),
            lambda: [(o.kind, o.state, o.step) for o in self.unfinished()],
            patience=MUCH,
        )


@contextmanager
def house(
    folder: Path,
    aws: LocalAws,
    *,
    worker: bool = True,
    keyless: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[House]:
    """Run a service on the folder and this AWS while the context lasts; `changes` to settings."""
    settings: Settings = prepare(folder).model_copy(update=dict(changes or {}))
    if settings.database_url is not None:
        upgrade(settings.database)
    with running(settings, aws.environment(), worker=worker, keyless=keyless) as runtime:
        services = runtime.services
        if not services.areas.readiness().foundation:
            build_foundation(settings, services.areas).up()
        with served(services) as address, caller(address, mint(services, "admin")) as api:
            yield House(runtime, aws, api)


@contextmanager
def served(services: Services, app: FastAPI | None = None) -> Iterator[str]:
    """Serve the application on a free port of loopback; yields its address."""
    app = app or create_app(services)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def in_threads(count: int, work: Any) -> None:
    """Call `work(number)` from as many threads, and wait; raises what one of them raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
