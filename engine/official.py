"""Getting the official ``pulumi`` program where it is missing."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine.command import install_official_command
from engine.errors import EngineError

MANUAL = "https://www.pulumi.com/docs/install/ tells other ways; the embedded engine needs nothing"


@dataclass(frozen=True)
class Installed:
    """The official program as installed: its version, and the folder to put on PATH."""

    version: str
    folder: Path


def install() -> Installed:
    """Install the official program of the SDK's version, below ``~/.pulumi/versions``.

    Raises EngineError with what went wrong and what to do instead.
    """
    try:
        version, program = install_official_command()
    except subprocess.CalledProcessError as error:
        said = (error.output or b"").decode("utf-8", "replace").strip().splitlines()
        last = said[-1] if said else f"the installer ended with status {error.returncode}"
        raise EngineError(
            f"the official program could not be installed: {last}. {MANUAL}"
        ) from error
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"the official program could not be downloaded from get.pulumi.com: {error}. {MANUAL}"
        ) from error
    return Installed(version, program.parent)
