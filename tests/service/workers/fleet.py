"""A service of several processes on PostgreSQL: an API without a worker, and workers beside it."""

import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
from sqlalchemy import Engine
from sqlmodel import select

from engine.localaws import LocalAws
from models.access_keys import AccessKey, AccessKeyStatus
from models.clients import Client, find_client
from models.database import create_engine_for, transaction, upgrade
from models.operations import UNFINISHED, Operation, OperationEvent
from models.sealing import Keyring
from models.workers import WorkerRow
from service.accounts import create_token, ensure_operator
from service.assembly import build_areas, build_foundation
from service.settings import Settings
from tests.localaws import client_of
from tests.service.http.conftest import ABC_LLC
from tests.waiting import MUCH, PATIENCE, until

REASON = {"reason": "of the test"}
UNHURRIED = "tests.service.unhurried"
"""The service whose workers are not surprised by a busy machine."""


@dataclass
class Process:
    """A process of the service; `said` is the first line it wrote, as JSON."""

    popen: "subprocess.Popen[str]"
    errors: IO[str]
    command: tuple[str, ...]
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.popen.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def ended(self, timeout: float = PATIENCE) -> int:
        """Wait for the end and return the exit code."""
        return self.popen.wait(timeout)

    def log(self) -> str:
        """What it wrote to stderr so far."""
        self.errors.seek(0)
        return self.errors.read()


class Fleet:
    """Processes over one database, one local AWS and one folder of state.

    ``module`` is the program that they run unless told otherwise.
    """

    def __init__(self, folder: Path, url: str, aws: LocalAws, module: str = "service") -> None:
        self.folder, self.url, self.aws, self.module = folder, url, aws, module
        upgrade(url)
        Keyring.generate(folder / "sealing.json")
        self.database: Engine = create_engine_for(url)
        self._exit = ExitStack()
        self._exit.callback(self.database.dispose)
        areas = build_areas(self.settings(), aws.environment())
        if not areas.readiness().foundation:
            build_foundation(self.settings(), areas).up()
        with transaction(self.database) as session:
            operator = ensure_operator(session)
            token = create_token(session, operator, actor=operator, scopes=["admin"], days=1)
        self.token = token.plain
        self.address = ""
        self.api = httpx.Client()
        self.processes: list[Process] = []

    def variables(self, url: str | None = None) -> dict[str, str]:
        """The configuration, as an environment."""
        return {
            "HANDOVER_ORGANISATION_NAME": "Test Ltd",
            "HANDOVER_DPO_CONTACT": "dpo@test.example",
            "HANDOVER_HELP_CONTACT": "help@test.example",
            "HANDOVER_TIME_ZONE": "Europe/Madrid",
            "HANDOVER_BUCKET": "legit-health-clients",
            "HANDOVER_REGION": self.aws.region,
            "HANDOVER_PASSPHRASE": "of the test",
            "HANDOVER_ENGINE": "embedded",
            "HANDOVER_DATABASE_URL": url or self.url,
            "HANDOVER_DATA_DIRECTORY": str(self.folder),
            "HANDOVER_KEYRING_FILE": str(self.folder / "sealing.json"),
        }

    def settings(self) -> Settings:
        """The configuration, as the processes read it."""
        names = {name.removeprefix("HANDOVER_").lower(): v for name, v in self.variables().items()}
        return Settings(**names)  # type: ignore[arg-type]  # texts, as in an environment

    def start(
        self,
        *command: str,
        module: str | None = None,
        url: str | None = None,
        changes: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Process:
        """Start a process of the service and wait until it says that it works."""
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the fleet
        self._exit.callback(errors.close)
        environment = {**os.environ, **self.aws.environment(), **self.variables(url)}
        popen = subprocess.Popen(
            [sys.executable, "-m", module or self.module, *command, "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**environment, **(changes or {})},
        )
        process = Process(popen, errors, command)
        self.processes.append(process)
        self._exit.callback(finish, process)
        if wait:
            assert popen.stdout is not None
            line = popen.stdout.readline()
            assert line, process.log()
            process.said = json.loads(line)
        return process

    def serve(self, *, worker: bool = False, **arguments: Any) -> Process:
        """Start an API, without a worker unless asked for, and talk to it from now on."""
        options = () if worker else ("--no-worker",)
        process = self.start("serve", "--port", "0", *options, **arguments)
        self.address = process.said["address"]
        self.api = self._exit.enter_context(self.caller())
        return process

    def caller(self) -> httpx.Client:
        """Return another admin of the API."""
        return httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=90,
            trust_env=False,
        )

    def worker(self, name: str, **arguments: Any) -> Process:
        """Start a worker."""
        return self.start("worker", "--name", name, **arguments)

    def ask_open(self, name: str) -> httpx.Response:
        """Ask for the area of a client of this name."""
        request = copy.deepcopy(ABC_LLC)
        request["legal_name"] = name
        request["contract"]["reference"] = f"DPA {name}"
        return self.api.post("/v1/clients", json=request)

    def open(self, name: str) -> str:
        """Ask for the area of a client of this name; return the operation's id."""
        return started(self.ask_open(name))

    def close(self, slug: str) -> str:
        """Ask to close an area; return the operation's id."""
        return started(self.api.delete(f"/v1/clients/{slug}", params=REASON))

    def operation(self, operation_id: str) -> Operation:
        """An operation's row."""
        with transaction(self.database, write=False) as session:
            return session.get_one(Operation, operation_id)

    def operations(self) -> list[Operation]:
        """All operations, oldest first."""
        with transaction(self.database, write=False) as session:
            return sorted(session.exec(select(Operation)), key=lambda row: row.created_at)

    def events(self, operation_id: str) -> list[OperationEvent]:
        """An operation's events in their order."""
        query = select(OperationEvent).where(OperationEvent.operation_id == operation_id)
        with transaction(self.database, write=False) as session:
            return sorted(session.exec(query), key=lambda row: row.sequence)

    def slug(self, operation: Operation) -> str:
        """The slug of an operation's client."""
        with transaction(self.database, write=False) as session:
            return session.get_one(Client, operation.client_id).slug

    def key_ids(self, operation: Operation) -> list[str | None]:
        """The ids of the living keys that the records know for an operation's client."""
        query = select(AccessKey).where(AccessKey.client_id == operation.client_id)
        with transaction(self.database, write=False) as session:
            keys = session.exec(query).all()
        return [key.access_key_id for key in keys if key.status is not AccessKeyStatus.deleted]

    def socket(self) -> Path:
        """The Unix socket of the database's server."""
        return Path(self.url.partition("host=")[2]) / ".s.PGSQL.5432"

    def client(self, slug: str) -> Client:
        """A client's row."""
        with transaction(self.database, write=False) as session:
            client = find_client(session, slug)
            assert client is not None, slug
            return client

    def row(self, name: str) -> WorkerRow | None:
        """A worker's row."""
        with transaction(self.database, write=False) as session:
            return session.get(WorkerRow, name)

    def until(self, true: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        """Wait until something is true, and return it."""
        return until(true, self.story, patience=timeout)

    def settle(self) -> None:
        """Wait until every operation has ended."""
        self.until(lambda: not self.unfinished(), MUCH)

    def unfinished(self) -> list[Operation]:
        """What has not ended yet."""
        return [o for o in self.operations() if o.state in UNFINISHED]

    def running(self, worker: str) -> list[Operation]:
        """What a worker has begun and not ended."""
        return [o for o in self.operations() if o.worker == worker and o.state == "running"]

    def story(self) -> str:
        """What became of each operation and process, for the message of a failed test."""
        rows = [
            f"{o.kind} {o.state} {o.step} worker={o.worker} run={o.run} {o.failure_code}"
            for o in self.operations()
        ]
        logs = [f"--- {p.said}\n{p.log()[-6000:]}" for p in self.processes]
        return "\n".join(["", *rows, *logs])

    @contextmanager
    def frozen_aws(self) -> Iterator[None]:
        """The local AWS does not go on while the context lasts: what calls it stays under way."""
        os.kill(self.aws.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.aws.pid, signal.SIGCONT)

    def keys_in_aws(self, slug: str) -> list[str]:
        """The ids of the keys that AWS has for a client."""
        found = client_of(self.aws, "iam").list_access_keys(UserName=slug)["AccessKeyMetadata"]
        return [key["AccessKeyId"] for key in found]

    def end_workers(self) -> None:
        """End every worker."""
        for process in self.processes:
            if "worker" in process.command:
                finish(process)

    def close_all(self) -> None:
        """End every process."""
        self._exit.close()


def started(answer: httpx.Response) -> str:
    """Return the id of the operation that an answer says was started."""
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@contextmanager
def fleet_on(folder: Path, url: str, aws: LocalAws, module: str = "service") -> Iterator[Fleet]:
    """A fleet whose processes end with the context."""
    made = Fleet(folder, url, aws, module)
    try:
        yield made
    finally:
        made.close_all()


def finish(process: Process) -> None:
    """Kill a process if it still runs."""
    if process.popen.poll() is None:
        process.popen.kill()
        process.popen.wait(PATIENCE)
    if process.popen.stdout is not None:
        process.popen.stdout.close()
