"""What a whole ``up`` costs beside the bare ``pulumi up`` in it: ``python -m bench.overhead``.

On the client's stack with nothing to change, where everything but the program's own work weighs
most. The official program has to be on PATH.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from pulumi import automation as auto
from typing_extensions import override

from bench.engines import Users
from engine.command import OnOutput
from engine.localaws import LocalAws
from engine.official import AssistedCommand
from stacks.automation import Stacks
from stacks.backend import Backend

RUNS = 6


class Timed(AssistedCommand):
    """Keeps how long each verb took, in milliseconds."""

    def __init__(self) -> None:
        """No verb was run yet."""
        super().__init__()
        self.spent: list[tuple[str, float]] = []

    @override
    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> auto.CommandResult:
        begun = time.perf_counter()
        try:
            return super().run(args, cwd, additional_env, on_output, on_error)
        finally:
            words = [word for word in args[:2] if not word.startswith("-")]
            self.spent.append((" ".join(words), (time.perf_counter() - begun) * 1000))


def measure(backend: Backend) -> dict[str, Any]:
    """Return medians in milliseconds of a whole ``up``, of the bare one in it, and their ratio."""
    stacks, command = Stacks(backend), Timed()
    stacks._official = command
    program = Users("overhead", 5)
    stacks.up(program)
    whole, bare = [], []
    for _ in range(RUNS):
        command.spent.clear()
        begun = time.perf_counter()
        stacks.up(program)
        whole.append((time.perf_counter() - begun) * 1000)
        bare.append(sum(spent for verb, spent in command.spent if verb == "up"))
    stacks.destroy(program)
    ratios = [some / one for some, one in zip(whole, bare, strict=True)]
    return {
        "whole_ms": round(statistics.median(whole)),
        "bare_ms": round(statistics.median(bare)),
        "ratio": round(statistics.median(ratios), 2),
    }


def compare(directory: Path) -> dict[str, Any]:
    """Measure on a file backend and on one in a bucket of a local S3."""
    plugin = directory / "bin" / "pulumi-resource-aws"
    plugin.parent.mkdir()
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m engine.plugin.server "$@"\n')
    plugin.chmod(0o755)
    (directory / "state").mkdir()
    with LocalAws.start(directory / "aws") as local:
        environment = {
            **local.environment(),
            "PATH": f"{plugin.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "PULUMI_HOME": str(directory / "home"),
        }
        file = Backend(
            url=f"file://{directory / 'state'}",
            engine="official",
            environment=environment,
            passphrase="bench",
            work_directory=directory / "file",
        )
        bucket = "overhead"
        _make_bucket(local, bucket)
        s3 = f"s3://{bucket}?region={local.region}&s3ForcePathStyle=true"
        return {
            "file": measure(file),
            "s3": measure(replace(file, url=s3, work_directory=directory / "s3")),
        }


def _make_bucket(local: LocalAws, name: str) -> None:
    # Untyped: the stubs know regions by literal names only.
    session: Any = boto3.Session()
    client = session.client(
        "s3",
        endpoint_url=local.endpoint_url,
        verify=str(local.ca_bundle),
        region_name=local.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": local.region}
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="handover-bench-") as folder:
        print(json.dumps(compare(Path(folder)), indent=2))
