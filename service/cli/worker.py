"""``handover worker``: carries out operations that other processes accept, on PostgreSQL."""

import gc
import json
import logging
import os
import threading
from typing import Annotated

import typer

from service.assembly import Runtime, aws_environment, running
from service.cli.output import JsonFlag
from service.cli.stopping import leave_on_signals
from service.logs import configure_logging
from service.settings import Settings

_log = logging.getLogger(__name__)


NICE = 5
"""How far a worker stands back for other processes of its machine, of 19."""


class PostgresqlRequired(RuntimeError):
    """API and worker can be two processes on PostgreSQL only."""


def worker(
    name: Annotated[
        str | None,
        typer.Option(help="Stable name, one a worker; HANDOVER_WORKER_NAME or the host's name."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Carry out operations until stopped; SIGTERM lets those under way end, and takes no new ones.

    Run it under a supervisor that starts it again: cut off from the database while it works, it
    ends itself with status 75.
    """
    leave_on_signals()
    settings = Settings() if name is None else Settings(worker_name=name)
    refuse_sqlite(settings.database, "`handover worker`")
    # An API on the same machine answers first: nobody waits for a worker's milliseconds.
    os.nice(NICE)
    configure_logging(settings.log_level, None)
    with running(settings, aws_environment(settings)) as runtime:
        # What was loaded stays for good: without this each collection would look at all of it.
        gc.freeze()
        _announce(runtime, as_json=as_json)
        threading.Event().wait()


def refuse_sqlite(database: str, what: str) -> None:
    """Raise `PostgresqlRequired` where the database's URL is a SQLite file's: it has one worker."""
    if database.startswith("sqlite"):
        raise PostgresqlRequired(
            f"{what} needs PostgreSQL: a SQLite file has one process. Set HANDOVER_DATABASE_URL to "
            "postgresql://…, or run `handover serve`, which has its worker within."
        )


def _announce(runtime: Runtime, *, as_json: bool) -> None:
    assert runtime.worker is not None  # `running` was asked for one
    stacks = runtime.services.areas.stacks
    name = runtime.worker.name
    _log.info("worker %s works with the %s engine", name, stacks.engine)
    if as_json:
        typer.echo(json.dumps({"worker": name, "engine": stacks.engine}))
        return
    typer.echo(f"Worker {name} works ({stacks.engine} engine, Pulumi {stacks.engine_version()}).")
    if stacks.backend.url.startswith("file://"):
        typer.echo(
            f"Its Pulumi state is in {stacks.backend.url}: all workers have to be on this machine. "
            "Several machines need HANDOVER_ENGINE=official and an s3:// HANDOVER_BACKEND_URL."
        )
    typer.echo("Stop with Ctrl-C.")
