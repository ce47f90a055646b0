"""Where a command works: on the configured service, or with ``--data`` on a local one's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlmodel import Session

from models.actors import Actor
from models.database import require_migrated, transaction
from service.accounts import ensure_operator
from service.assembly import open_database
from service.local import local_settings
from service.settings import Settings

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of a local service; without it HANDOVER_* decides."),
]


def settings_for(data: Path | None) -> Settings:
    """Return the settings of the local service in ``data``, or the configured ones."""
    return local_settings(data) if data is not None else Settings()


@contextmanager
def operator_session(data: Path | None) -> Iterator[tuple[Session, Actor]]:
    """Open a writing transaction as the command line's own actor; committed at the end."""
    with database_of(settings_for(data)) as database, transaction(database) as session:
        yield session, ensure_operator(session)


@contextmanager
def reading_session(settings: Settings) -> Iterator[Session]:
    """Open a transaction that changes nothing."""
    with database_of(settings) as database, transaction(database, write=False) as session:
        yield session


@contextmanager
def database_of(settings: Settings) -> Iterator[Engine]:
    """Open the database of these settings; raises `models.database.DatabaseNotMigrated`."""
    database = open_database(settings)
    try:
        require_migrated(database)
        yield database
    finally:
        database.dispose()
