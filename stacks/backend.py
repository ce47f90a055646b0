"""Where stacks live, which engine works on them, and what they are as plain values."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

EngineKind = Literal["embedded", "official"]
EngineSetting = Literal["auto", "embedded", "official"]
AWS_PLUGIN = "pulumi-resource-aws"
"""The name under which the official program looks for its AWS plugin on PATH."""


@dataclass(frozen=True)
class StackOutputs:
    """Outputs of a stack; `secrets` must go nowhere but into sealed columns."""

    plain: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Deployment:
    """A stack's exported state: resources and pending operations, secrets still encrypted."""

    version: int
    deployment: dict[str, Any] = field(repr=False)

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources that the state holds."""
        return list(self.deployment.get("resources") or [])

    def pending_operations(self) -> list[dict[str, Any]]:
        """Return the operations that were begun and never recorded as ended."""
        return list(self.deployment.get("pending_operations") or [])

    def without_pending_operations(self) -> "Deployment":
        """Return the same state with its pending operations cleared."""
        return Deployment(self.version, {**self.deployment, "pending_operations": []})


def official_program() -> Path | None:
    """Return the path of the official `pulumi` program, if one is on PATH."""
    found = shutil.which("pulumi")
    return Path(found) if found else None


def official_aws_plugin(environment: Mapping[str, str]) -> Path | None:
    """Return the AWS plugin that the official program would use, if there is one.

    That is `pulumi-resource-aws` on PATH, as the program itself prefers it (Pulumi's own, or ours:
    a link to `handover-resource-aws`), else the newest of those that it has installed.
    """
    on_path = shutil.which(AWS_PLUGIN)
    if on_path:
        return Path(on_path)
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    found = sorted((home / "plugins").glob("resource-aws-v*"))
    return next((folder for folder in reversed(found) if folder.is_dir()), None)


def choose_engine(setting: EngineSetting, environment: Mapping[str, str]) -> EngineKind:
    """Return the engine to use: ``auto`` is official when program and AWS plugin are both there."""
    if setting != "auto":
        return setting
    both = official_program() and official_aws_plugin(environment)
    return "official" if both else "embedded"


@dataclass(frozen=True)
class Backend:
    """Where stacks live and how their secrets are kept.

    ``environment`` is what the engine and its provider see beside the process's own: AWS
    settings, never written into a state.
    """

    url: str
    engine: EngineKind
    environment: Mapping[str, str] = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    secrets_provider: str = "passphrase"
    work_directory: Path = Path("work")
    parallel: int = 16

    def variables(self) -> dict[str, str]:
        """Return the environment variables for each command."""
        variables = {
            **self.environment,
            "PULUMI_BACKEND_URL": self.url,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        }
        if self.passphrase is not None:
            variables["PULUMI_CONFIG_PASSPHRASE"] = self.passphrase
        return variables
