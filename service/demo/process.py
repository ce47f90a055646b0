"""The service as a process of its own, as a user would start it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

STOP_SECONDS = 60


class ServiceDidNotStart(RuntimeError):
    """The service ended before it served."""


@dataclass(frozen=True)
class Served:
    """Where a local service answers."""

    address: str
    token: str = field(repr=False)
    aws_endpoint: str
    aws_ca_bundle: str
    pid: int


@contextmanager
def service_process(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Run ``handover serve --local`` on the folder while the context lasts.

    ``environment`` is added to the process's own.

    Raises `ServiceDidNotStart` with what the service said.
    """
    command = [sys.executable, "-m", "service", "serve", "--local", "--json", "--port", "0"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, "--data", str(data)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield _await(process, errors)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _await(process: "subprocess.Popen[str]", errors: IO[str]) -> Served:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        process.wait(STOP_SECONDS)
        errors.seek(0)
        raise ServiceDidNotStart(errors.read().strip() or "The service ended without a word.")
    said = json.loads(line)
    return Served(
        address=said["address"],
        token=Path(said["token_file"]).read_text().strip(),
        aws_endpoint=said["aws_endpoint"],
        aws_ca_bundle=said["aws_ca_bundle"],
        pid=process.pid,
    )
