"""Local mode: everything in one folder on one machine, for a trial, the demo and the tests.

The folder holds database, Pulumi state, keys, logs and the local AWS. Nothing leaves loopback.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlmodel import select

from engine.localaws import LocalAws
from models.actors import Actor, ActorKind, Scope, authenticate
from models.database import transaction, upgrade
from models.sealing import Keyring
from service.accounts import create_actor, create_token, ensure_operator
from service.assembly import Runtime, build_foundation, running
from service.settings import LOOPBACK_HOSTS, LOOPBACK_NETWORKS, LocalSettings, Settings
from stacks.areas import Areas

ADMIN_NAME = "local-admin"
ADMIN_TOKEN_DAYS = 365
LOCAL_REGION = "eu-west-1"


class DirectoryInUse(RuntimeError):
    """Another service runs on the same data directory."""


@dataclass(frozen=True)
class LocalRuntime:
    """A local service that runs, with the local AWS that it talks to."""

    runtime: Runtime
    aws: LocalAws
    token_file: Path


def local_settings(directory: Path) -> Settings:
    """Return the settings of local mode.

    Whatever decides where data goes is fixed here, so that a trial in a folder with a production
    ``.env`` can never reach production (RX-07).
    """
    return LocalSettings(
        data_directory=directory.absolute(),
        region=LOCAL_REGION,
        database_url=None,
        backend_url=None,
        keyring_file=None,
        secrets_provider="passphrase",
        passphrase=SecretStr(_passphrase(directory / "keys" / "passphrase")),
        allow_embedded_on_aws=False,
        webhook_hosts_allowed=LOOPBACK_HOSTS,
        webhook_networks_allowed=LOOPBACK_NETWORKS,
        local=True,
    )


@contextmanager
def local_service(
    directory: Path, *, worker: bool = True, keyless: bool = False
) -> Iterator[LocalRuntime]:
    """Run the whole service on the folder while the context lasts; start again to carry on.

    ``keyless`` as for `service.assembly.running`.

    Raises `DirectoryInUse` when another one runs there.
    """
    make_private(directory)
    with _only_one(directory):
        settings = prepare(directory)
        with (
            LocalAws.start(directory / "aws", region=LOCAL_REGION) as aws,
            running(settings, aws.environment(), worker=worker, keyless=keyless) as runtime,
        ):
            _apply_foundation(settings, runtime.services.areas)
            token_file = _admin_token(runtime.services.database, directory / "admin.token")
            yield LocalRuntime(runtime, aws, token_file)


def prepare(directory: Path) -> Settings:
    """Make what a local service needs in its folder, and bring its database up to date."""
    for name in ("keys", "logs", "state", "work"):
        make_private(directory / name)
    settings = local_settings(directory)
    # New keys are for a new database only: what older ones have sealed they could not open.
    if not settings.keyring.exists() and not (directory / "handover.db").exists():
        Keyring.generate(settings.keyring)
    upgrade(settings.database)
    return settings


def make_private(directory: Path) -> None:
    """Make a folder that only its owner can enter."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)


def _passphrase(file: Path) -> str:
    if not file.exists():
        make_private(file.parent)
        write_private(file, secrets.token_urlsafe(32))
    return file.read_text().strip()


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")
    part.replace(file)


def _apply_foundation(settings: Settings, areas: Areas) -> None:
    if not areas.readiness().foundation:
        build_foundation(settings, areas).up()


def _admin_token(database: Engine, file: Path) -> Path:
    """Keep the admin's token in the file; a new one when the old one no longer works."""
    with transaction(database) as session:
        if file.exists() and authenticate(session, file.read_text().strip()):
            return file
        operator = ensure_operator(session)
        admin = session.exec(select(Actor).where(Actor.name == ADMIN_NAME)).one_or_none()
        if admin is None:
            admin = create_actor(
                session, operator, name=ADMIN_NAME, kind=ActorKind.person, roles=["admin"]
            )
        token = create_token(
            session, operator, actor=admin, scopes=[Scope.admin], days=ADMIN_TOKEN_DAYS
        )
        write_private(file, token.plain)
    return file


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DirectoryInUse(
                f"Another service runs on {directory}. Stop it, or give another --data folder."
            ) from error
        yield
