"""PostgreSQL's own programs for dump and restore, and what they are told."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from service.backup.errors import BackupError

TIMEOUT_SECONDS = 3600


def dump(url: str, target: Path, snapshot: str) -> None:
    """Write the database, as of the exported snapshot, to a file in custom format."""
    arguments = ["--format=custom", "--no-owner", "--no-privileges"]
    _run("pg_dump", [*arguments, f"--snapshot={snapshot}", f"--file={target}"], url)


def restore(url: str, dumped: Path) -> None:
    """Write a dump into an empty database: all of it or, on any error, nothing."""
    arguments = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    name = make_url(url).database or ""
    _run("pg_restore", [*arguments, f"--dbname={name}", str(dumped)], url)


def check(dumped: Path) -> None:
    """Have the dump's table of contents read."""
    _run("pg_restore", ["--list", str(dumped)], None)


def refuse_unless_empty(database: Engine) -> None:
    """Raise `BackupError` when the database holds a table already."""
    query = text(
        "SELECT count(*) FROM pg_catalog.pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    with database.connect() as connection:
        if connection.execute(query).scalar_one():
            raise BackupError(
                "The database of HANDOVER_DATABASE_URL is not empty; nothing was restored. "
                "Make a new one with `createdb`."
            )


def _run(program: str, arguments: list[str], url: str | None) -> None:
    found = shutil.which(program)
    if found is None:
        raise BackupError(
            f"{program} is not on PATH; a backup of PostgreSQL needs it. Install PostgreSQL's "
            "client programs of the server's version or newer (Debian: postgresql-client)."
        )
    ended = subprocess.run(
        [found, *arguments],
        env={**os.environ, **(_environment(url) if url else {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        # The first line: what follows can quote rows.
        first = next(iter(ended.stderr.strip().splitlines()), f"status {ended.returncode}")
        raise BackupError(f"{program} failed: {first}")


def _environment(url: str) -> dict[str, str]:
    """Return the connection as libpq's variables: a password on a command line is seen by all."""
    parsed = make_url(url)
    # A host in the query wins, as for psycopg: it is how a socket's folder is given.
    given = {
        "PGHOST": parsed.host,
        "PGPORT": parsed.port,
        "PGUSER": parsed.username,
        "PGPASSWORD": parsed.password,
        "PGDATABASE": parsed.database,
        **{_VARIABLES[name]: value for name, value in parsed.query.items() if name in _VARIABLES},
    }
    return {name: str(value) for name, value in given.items() if value}


_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "service": "PGSERVICE",
}
