"""One world: a data folder, a local AWS of its own, and processes of the service that come and go.

Processes are forked from a server that has everything imported already, so that a start takes
tenths of a second, as hundreds of them are needed.
"""

import multiprocessing
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import Engine

from engine import secrets as secrets_of_stacks
from engine.localaws import LocalAws
from models.actors import ActorKind, Scope
from models.database import create_engine_for, transaction, upgrade
from service.accounts import create_actor, create_token, ensure_operator
from service.assembly import build_areas, build_foundation
from service.local import LOCAL_REGION, prepare
from stacks.backend import EngineKind
from tests.chaos.child import API, PATIENCE, WHOLE, WORKER, Spec, main
from tests.chaos.hooks import Trigger
from tests.chaos.plugin import official
from tests.chaos.points import Point
from tests.localaws import client_of

AWAY_SECONDS = 0.5
PROGRAM = "pulumi"
"""The official program's name as a process."""
Outside = Callable[[int], None]
"""What is done to the world while the service's process, of this id, holds still."""
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.chaos.warm"])


@dataclass
class Life:
    """How one process of the service lived: its exit code, what went by, whether the fault hit."""

    exit_code: int | None
    seen: list[tuple[Point, int]]
    hit: bool


@dataclass
class World:
    """A service's folder and its AWS; `token` is an admin's."""

    folder: Path
    aws: LocalAws
    environment: dict[str, str] = field(repr=False)
    database: Engine
    token: str = field(repr=False)
    database_url: str | None = None
    engine: EngineKind = "embedded"
    _returning: threading.Thread | None = None

    @cached_property
    def iam(self) -> Any:
        """IAM as the root user."""
        return client_of(self.aws, "iam")

    @cached_property
    def s3(self) -> Any:
        """S3 as the root user."""
        return client_of(self.aws, "s3")

    def live(
        self,
        scenario: str,
        slug: str,
        trigger: Trigger | None = None,
        outside: Outside = lambda _: None,
        *,
        part: str = WHOLE,
    ) -> Life:
        """Let a process of the service live until it has done its work or is killed.

        ``outside`` is done to the world while the process, of this id, holds still at its point.
        """
        process, pipe = self._begin(scenario, slug, trigger, part)
        life = _lived(process, pipe, outside)
        if self._returning is not None:
            self._returning.join()
        return life

    def live_apart(self, scenario: str, slug: str, trigger: Trigger) -> Life:
        """Let a worker live beside an API of its own, which is killed at the worker's point."""
        api, pipe = self._begin(scenario, slug, None, API)
        life = self.live(scenario, slug, trigger, lambda _: api.kill(), part=WORKER)
        api.kill()
        api.join()
        pipe.close()
        return life

    def _begin(
        self, scenario: str, slug: str, trigger: Trigger | None, part: str
    ) -> tuple[ForkServerProcess, Connection]:
        spec = Spec(
            self.folder,
            self.environment,
            self.token,
            scenario,
            slug,
            trigger,
            self.database_url,
            dict(secrets_of_stacks._keys),
            part,
            self.engine,
        )
        here, there = _forks.Pipe()
        process = _forks.Process(target=main, args=(spec, there))
        process.start()
        there.close()
        return process, here

    def freeze(self) -> None:
        """Stop the local AWS where it is for a moment (SIGSTOP)."""
        os.kill(self.aws.pid, signal.SIGSTOP)
        threading.Timer(AWAY_SECONDS, os.kill, (self.aws.pid, signal.SIGCONT)).start()

    def restart(self) -> None:
        """End the local AWS (SIGTERM: it keeps its state); after a moment it is there again."""
        port = int(self.aws.endpoint_url.rsplit(":", 1)[1])
        self.aws.stop()

        def come_back() -> None:
            self.aws = LocalAws.start(self.folder / "aws", port=port, region=LOCAL_REGION)

        self._returning = threading.Timer(AWAY_SECONDS, come_back)
        self._returning.start()

    def kill_engine(self, service: int) -> None:
        """Kill the official program, a child of the service's process (SIGKILL)."""
        children = psutil.Process(service).children(recursive=True)
        programs = [child for child in children if child.name() == PROGRAM]
        assert programs, "the official program is not there to be killed"
        for program in programs:
            program.kill()

    def cut_database(self) -> None:
        """End all sessions that the service has with PostgreSQL."""
        if self.database_url is None:
            return
        self.database.dispose()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def _lived(process: ForkServerProcess, pipe: Connection, outside: Outside) -> Life:
    seen: list[tuple[Point, int]] = []
    hit = False
    # A process that is killed closes its end.
    with suppress(EOFError, OSError):
        while pipe.poll(PATIENCE * 2):
            word, content = pipe.recv()
            if word == "done":
                seen = content
                break
            hit = True
            outside(process.pid or 0)
            pipe.send("go")
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    pipe.close()
    return Life(process.exitcode, seen, hit or process.exitcode == -signal.SIGKILL)


@contextmanager
def world(
    folder: Path, database_url: str | None = None, engine: EngineKind = "embedded"
) -> Iterator[World]:
    """Make a world with its foundation; all of its processes end with it."""
    settings = prepare(folder)
    if database_url is not None:
        settings = settings.model_copy(update={"database_url": database_url})
        upgrade(database_url)
    database = create_engine_for(settings.database)
    aws = LocalAws.start(folder / "aws", region=LOCAL_REGION)
    environment = aws.environment()
    if engine == "official":
        environment = official(folder, environment)
    made = World(folder, aws, environment, database, _admin(database), database_url, engine)
    try:
        build_foundation(settings, build_areas(settings, aws.environment())).up()
        yield made
    finally:
        made.aws.stop()
        database.dispose()


def _admin(database: Engine) -> str:
    with transaction(database) as session:
        operator = ensure_operator(session)
        actor = create_actor(
            session,
            operator,
            name=f"chaos-{secrets.token_hex(3)}",
            kind=ActorKind.person,
            roles=["admin"],
        )
        return create_token(session, operator, actor=actor, scopes=[Scope.admin], days=1).plain
