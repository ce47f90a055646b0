"""A real PostgreSQL for tests: Debian's program, in a temporary folder, on a Unix socket only."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

START_SECONDS, STOP_SECONDS = 30, 20
# The data are thrown away: durability is not what these tests are about.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "150",
    "shared_buffers": "32MB",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `folder` holds its socket."""

    folder: Path

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://handover@/{database}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the test run (for each worker of it), stopped at the end."""
    with running_server() as server:
        yield server


@contextmanager
def running_server(settings: Mapping[str, str] = SETTINGS) -> Iterator[PostgresServer]:
    """Run a server with these settings, on data of its own, while the context lasts."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="handover-postgres-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            account = pwd.getpwnam(_account())
            os.chown(folder, account.pw_uid, account.pw_gid)
        _init(programs, folder)
        with _running(programs, folder, settings):
            yield PostgresServer(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database, dropped after the test."""
    with new_database(postgres_server) as url:
        yield url


@contextmanager
def new_database(server: PostgresServer) -> Iterator[str]:
    """Make an empty database and yield its URL; dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield server.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _programs() -> Path:
    """The folder with `initdb` and `postgres`, the newest where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).resolve().parent
    raise RuntimeError(
        "PostgreSQL is missing, and these tests need a real one. "
        "Run: apt-get install --no-install-recommends postgresql"
    )


def _version(initdb: Path) -> float:
    return float(initdb.parent.parent.name)


def _account() -> str:
    """Who runs the server when we are root, which PostgreSQL refuses to run as."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _unprivileged(command: list[str]) -> list[str]:
    """The command, not as root, and ended by the kernel when the tests are killed."""
    options = ["--pdeathsig", "QUIT"]
    if os.geteuid() == 0:
        account = pwd.getpwnam(_account())
        identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        options += identity
    return ["setpriv", *options, "--", *command]


def _init(programs: Path, folder: Path) -> None:
    subprocess.run(
        _unprivileged(
            [
                str(programs / "initdb"),
                f"--pgdata={folder / 'data'}",
                "--username=handover",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ]
        ),
        check=True,
        capture_output=True,
        cwd=folder,
    )


@contextmanager
def _running(programs: Path, folder: Path, settings: Mapping[str, str]) -> Iterator[None]:
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder)]
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            _unprivileged([*command, *options]), stdout=output, stderr=output, cwd=folder
        )
    try:
        _wait_until_ready(server, folder, log)
        yield
    finally:
        # Fast shutdown: open sessions are ended.
        server.send_signal(signal.SIGINT)
        server.wait(STOP_SECONDS)


def _wait_until_ready(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(PostgresServer(folder).url("postgres")).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
