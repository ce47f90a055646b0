"""One bench for both engines: the same backend, provider, local AWS and programs."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import pulumi_aws as aws
import pytest
from pulumi import automation as auto

from engine.command import EmbeddedCommand
from engine.localaws import LocalAws
from tests.engine.conftest import PASSPHRASE

# pulumi_aws loads its modules at the first use, which is not safe from several threads at once.
LOADED = (aws.iam.User, aws.s3.BucketObjectv2)
PROJECT = "conformance"
ROOT = Path(__file__).parents[3]
Engine = Literal["embedded", "official"]
Program = Callable[[], object]

EMBEDDED = pytest.param("embedded", id="embedded")
OFFICIAL = pytest.param("official", id="official", marks=pytest.mark.official)


@dataclass
class Bench:
    """A backend and a working folder on which stacks of either engine work."""

    engine: Engine
    directory: Path
    aws: dict[str, str]
    unique: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def work(self) -> Path:
        return self.directory / "work"

    def environment(self) -> dict[str, str]:
        """What a command sees beside the process's own environment."""
        return {
            **self.aws,
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(self.directory / "home"),
            "PATH": f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **self.extra,
        }

    def command(self) -> auto.PulumiCommand:
        return EmbeddedCommand() if self.engine == "embedded" else auto.PulumiCommand()

    def workspace(self, program: Program | None = None) -> auto.LocalWorkspace:
        return auto.LocalWorkspace(
            work_dir=str(self.work),
            program=cast("auto.PulumiFn | None", program),
            env_vars=self.environment(),
            pulumi_command=self.command(),
            project_settings=auto.ProjectSettings(name=PROJECT, runtime="python"),
        )

    def stack(self, program: Program | None = None, name: str = "dev") -> auto.Stack:
        """Create or select a stack."""
        return auto.Stack.create_or_select(name, self.workspace(program))

    def checkpoint_path(self, name: str = "dev") -> Path:
        return self.state / ".pulumi" / "stacks" / PROJECT / f"{name}.json"

    def latest(self, name: str = "dev") -> dict[str, Any]:
        """The deployment in the checkpoint file."""
        latest = json.loads(self.checkpoint_path(name).read_bytes())["checkpoint"]["latest"]
        return cast("dict[str, Any]", latest or {})

    def recorded(self, logical_name: str, name: str = "dev") -> dict[str, Any]:
        """One resource of the checkpoint file, which must be there once."""
        found: list[dict[str, Any]] = [
            item
            for item in self.latest(name).get("resources") or []
            if item["urn"].endswith(f"::{logical_name}")
        ]
        assert len(found) == 1, [item["urn"] for item in found]
        return found[0]

    def names(self, name: str = "dev") -> list[str]:
        """Logical names of what is recorded, without stack and default providers."""
        urns = [item["urn"] for item in self.latest(name).get("resources") or []]
        inner = [urn for urn in urns if "pulumi:pulumi:Stack" not in urn and "::default" not in urn]
        return sorted(urn.rsplit("::", 1)[-1] for urn in inner)

    def pending(self, name: str = "dev") -> list[tuple[str, str]]:
        """Kinds and logical names of pending operations."""
        operations = self.latest(name).get("pending_operations") or []
        return [(item["type"], item["resource"]["urn"].rsplit("::", 1)[-1]) for item in operations]

    def using(self, engine: Engine) -> Bench:
        """The same backend and folder under the other engine."""
        return Bench(engine, self.directory, self.aws, self.unique, self.extra)


@pytest.fixture(params=[EMBEDDED, OFFICIAL])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Which engine runs; the official one where it is on PATH."""
    return cast("Engine", request.param)


@pytest.fixture
def bench(engine: Engine, tmp_path: Path, local_aws: LocalAws, unique: str) -> Iterator[Bench]:
    """A fresh backend."""
    yield make_bench(engine, tmp_path, local_aws, unique)
    # A program that the official one gave up leaves coroutines behind; Python 3.11 can't bear
    # that they end while it parses a file.
    gc.collect()


def make_bench(engine: Engine, directory: Path, local_aws: LocalAws, unique: str) -> Bench:
    """Make the folders, and put our provider where the official program looks for its own."""
    bench = Bench(engine, directory, local_aws.environment(), unique)
    for folder in (bench.state, bench.work, directory / "bin"):
        folder.mkdir()
    plugin = directory / "bin" / "pulumi-resource-aws"
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m engine.plugin.server "$@"\n')
    plugin.chmod(0o755)
    return bench


def official_version() -> str | None:
    """Version of the official program on PATH, None when there is none."""
    if shutil.which("pulumi") is None:
        return None
    return str(auto.PulumiCommand().version)
