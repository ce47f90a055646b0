"""Putting the service together from its settings, and taking it apart again."""

import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from engine.aws.clients import ALLOWANCE, ANSWER_VARIABLE, SETTLE_VARIABLE
from models.database import create_engine_for, require_migrated
from models.sealing import Keyring, LostKeyring, SealingError
from service.context import Services
from service.delivery.courier import Courier
from service.following import Follower
from service.freezing import Endpoint
from service.hub import OperationHub
from service.outgoing.deliverer import Deliverer
from service.records import RecordOffice
from service.settings import Settings
from service.webhooks.processing import EventIntake
from service.worker.timekeeper import Timekeeper
from service.worker.worker import Worker, WorkerSlot
from stacks.areas import Areas
from stacks.automation import Stacks
from stacks.backend import Backend, choose_engine
from stacks.foundation import FoundationInputs
from stacks.foundation_stack import Foundation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """A service that runs: its parts, and its worker if it has one."""

    services: Services
    worker: Worker | None


def aws_environment(settings: Settings) -> dict[str, str]:
    """Return the AWS settings that engine and direct calls see, from the process's environment."""
    found = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    found["AWS_REGION"] = found["AWS_DEFAULT_REGION"] = settings.region
    if settings.allow_embedded_on_aws:
        found[ALLOWANCE] = "true"
    patience = {
        ANSWER_VARIABLE: settings.aws_answer_seconds,
        SETTLE_VARIABLE: settings.aws_settle_seconds,
    }
    return found | {name: str(value) for name, value in patience.items() if value is not None}


def open_database(settings: Settings) -> Engine:
    """Return the database's engine; the folder of a SQLite file is made if need be."""
    if settings.database_url is None:
        settings.data_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return create_engine_for(settings.database)


def build_areas(settings: Settings, environment: Mapping[str, str]) -> Areas:
    """Return the areas on the engine that the settings choose."""
    engine = choose_engine(settings.engine, os.environ)
    if engine == "official":
        # The rule that keeps the embedded engine off AWS is not about our direct calls beside it.
        environment = {**environment, ALLOWANCE: "true"}
    backend = Backend(
        url=settings.state_url,
        engine=engine,
        environment=environment,
        passphrase=settings.passphrase.get_secret_value() if settings.passphrase else None,
        secrets_provider=settings.secrets_provider,
        work_directory=settings.data_directory.absolute() / "work",
        parallel=settings.parallel_operations,
    )
    _make_file_backend(settings.state_url)
    return Areas(
        Stacks(backend), bucket=settings.bucket, region=settings.region, group=settings.group
    )


def build_foundation(settings: Settings, areas: Areas) -> Foundation:
    """Return the foundation's stack; raises `StackError` when AWS does not tell the account."""
    inputs = FoundationInputs(
        bucket=settings.bucket,
        region=settings.region,
        account=areas.account(),
        group=settings.group,
        boundary_name=settings.boundary_name,
    )
    return Foundation(areas.stacks, inputs)


@contextmanager
def running(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    worker: bool = True,
    keyless: bool = False,
) -> Iterator[Runtime]:
    """Run the service's parts while the context lasts.

    Raises `models.database.DatabaseNotMigrated` and `models.sealing.SealingError` at the door; with
    ``keyless`` it starts without its sealing keys, and then without a worker: reading, suspending
    and writing wishes down go on, and what needs a key is refused.
    """
    database = open_database(settings)
    try:
        require_migrated(database)
        keyring = _keyring(settings, keyless=keyless)
        worker = worker and not isinstance(keyring, LostKeyring)
        slot = WorkerSlot()
        services = Services(
            settings=settings,
            database=database,
            keyring=keyring,
            areas=build_areas(settings, environment),
            dispatcher=slot,
            hub=OperationHub(),
            records=RecordOffice(settings, keyring, _endpoint(environment)),
        )
        runtime = Runtime(services, _launch(services, slot) if worker else None)
        # What works beside the worker, on rows of its own.
        beside: list[Deliverer | EventIntake | Courier | Timekeeper | Follower] = []
        if database.dialect.name != "sqlite":
            beside.append(Follower(database, services.hub))
        clock = Timekeeper(services)
        if runtime.worker is not None:
            beside += [Deliverer(services), EventIntake(services), Courier(services), clock]
        try:
            for part in beside:
                part.launch()
            if runtime.worker is not None:
                runtime.worker.watch(clock.stands_since)
            yield runtime
        finally:
            for part in beside:
                part.stop()
            slot.put(None)
            if runtime.worker is not None:
                runtime.worker.stop()
    finally:
        database.dispose()


def _keyring(settings: Settings, *, keyless: bool) -> Keyring:
    try:
        return Keyring.from_file(settings.keyring)
    except SealingError as trouble:
        if not keyless:
            raise
        log.error("%s Until then nothing is opened, and no worker runs.", trouble)
        return LostKeyring(trouble)


def _launch(services: Services, slot: WorkerSlot) -> Worker:
    settings = services.settings
    name = settings.worker_name or _host()
    # Workers of one machine may share a data directory, but never the durable engine's file.
    shared = services.database.dialect.name != "sqlite"
    file = f"operations-{name}.db" if shared else "operations.db"
    settings.data_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    durable = settings.data_directory.absolute() / file
    started = Worker(services, durable, name, backend_identity(settings.state_url))
    started.launch()
    slot.put(started)
    return started


def backend_identity(url: str) -> str:
    """Return what tells whether two workers keep their Pulumi state in one place.

    A folder's path does not, as two machines may have the same one: an id kept inside does.
    """
    if not url.startswith("file://"):
        return url.partition("?")[0]
    file = Path(url.removeprefix("file://")) / ".handover-id"
    # Written once only: a service has to start on a disk that has become full.
    if not file.exists():
        mine = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
        mine.write_text(mine.suffix.removeprefix("."))
        # A link is made whole or not at all: of two that start at once, one decides.
        with suppress(FileExistsError):
            file.hardlink_to(mine)
        mine.unlink()
    return f"folder {file.read_text()}"


def _host() -> str:
    """Return this machine's name in the form that names of workers have."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "worker"


def _endpoint(environment: Mapping[str, str]) -> Endpoint:
    return Endpoint(environment.get("AWS_ENDPOINT_URL"), environment.get("AWS_CA_BUNDLE"))


def _make_file_backend(url: str) -> None:
    if url.startswith("file://"):
        Path(url.removeprefix("file://")).mkdir(parents=True, exist_ok=True, mode=0o700)
