"""Where a command works: on the configured service, or with ``--data`` on a local one's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
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
    database = open_database(settings_for(data))
    try:
        require_migrated(database)
        with transaction(database) as session:
            yield session, ensure_operator(session)
    finally:
        database.dispose()
