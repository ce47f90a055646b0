"""Fixtures for the embedded engine: real stacks through the real Automation API."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import automation as auto

from engine.command import EmbeddedCommand
from engine.secrets import PassphraseSecrets
from tests.engine.memory_provider import MemoryCloud

# pulumi_aws loads its modules at the first use, which is not safe from several threads at once.
LOADED = (aws.iam.User, aws.s3.BucketObjectv2)

PROJECT = "handover-clients"
PASSPHRASE = "correct horse battery staple"
Program = Callable[[], object]


@dataclass
class Workbench:
    """A backend, a working folder and a cloud of one test."""

    directory: Path
    cloud: MemoryCloud = field(default_factory=MemoryCloud)
    events: list[dict[str, Any]] = field(default_factory=list)
    extra_environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def work(self) -> Path:
        return self.directory / "work"

    def environment(self) -> dict[str, str]:
        return {
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            **self.extra_environment,
        }

    def workspace(
        self, program: Program | None = None, *, inline: bool = False
    ) -> auto.LocalWorkspace:
        """``inline`` hands the program to the Automation API, so that it goes over gRPC."""
        command = EmbeddedCommand(
            program=None if inline else program,
            provider=self.cloud.provider,
            on_event=self.events.append,
        )
        return auto.LocalWorkspace(
            work_dir=str(self.work),
            program=cast("auto.PulumiFn", program) if inline else None,
            env_vars=self.environment(),
            pulumi_command=command,
            project_settings=auto.ProjectSettings(name=PROJECT, runtime="python"),
        )

    def stack(
        self, program: Program | None = None, name: str = "ABC-LLC", *, inline: bool = False
    ) -> auto.Stack:
        """Create or select a stack."""
        return auto.Stack.create_or_select(name, self.workspace(program, inline=inline))

    def checkpoint_path(self, name: str = "ABC-LLC") -> Path:
        return self.state / ".pulumi" / "stacks" / PROJECT / f"{name}.json"

    def latest(self, name: str = "ABC-LLC") -> dict[str, Any]:
        """The deployment in the checkpoint file."""
        checkpoint = json.loads(self.checkpoint_path(name).read_bytes())
        assert checkpoint["version"] == 3
        return cast("dict[str, Any]", checkpoint["checkpoint"]["latest"])

    def resource(self, logical_name: str, name: str = "ABC-LLC") -> dict[str, Any]:
        """One resource of the checkpoint file."""
        found: list[dict[str, Any]] = [
            item
            for item in self.latest(name).get("resources", [])
            if item["urn"].endswith(f"::{logical_name}")
        ]
        assert len(found) == 1, [item["urn"] for item in found]
        return found[0]

    def ops(self, kind: str = "resOutputsEvent") -> list[tuple[str, str]]:
        """Operations and logical names of the events so far."""
        metadata = [event[kind]["metadata"] for event in self.events if kind in event]
        return [(item["op"], item["urn"].rsplit("::", 1)[-1]) for item in metadata]

    def diagnostics(self, severity: str = "error") -> str:
        """All messages of a severity."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "".join(item["message"] for item in found if item["severity"] == severity)

    def prepare(self, salt: str) -> Workbench:
        """Make the folders. A salt that is known already saves deriving a key for each test."""
        self.work.mkdir(parents=True)
        salt_file = self.state / ".pulumi" / "passphrase-salt"
        salt_file.parent.mkdir(parents=True)
        salt_file.write_text(salt)
        return self


@pytest.fixture(scope="session")
def salt() -> str:
    """One encryption salt for all tests of a process."""
    return PassphraseSecrets.create(PASSPHRASE).state


@pytest.fixture
def workbench(tmp_path: Path, salt: str) -> Workbench:
    """A fresh backend and cloud."""
    return Workbench(tmp_path).prepare(salt)


def client_program() -> None:
    """The shape of a client's stack: a user and what hangs on it."""
    user = aws.iam.User("user", name="ABC-LLC", tags={"client": "ABC-LLC"})
    aws.iam.UserGroupMembership("membership", user=user.name, groups=["Clients"])
    aws.iam.UserPolicy("policy", user=user.name, name="ABC-LLC_s3_access", policy="{}")
    key = aws.iam.AccessKey("key-1", user=user.name)
    aws.s3.BucketObjectv2("placeholder", bucket="clients", key="ABC-LLC/images/", content="")
    pulumi.export("user", user.name)
    pulumi.export("arn", user.arn)
    pulumi.export("secret", key.secret)
    pulumi.export("facts", {"numbers": [1, 2.5], "nothing": None, "yes": True})
