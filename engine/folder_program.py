"""The Python program of a project folder (``main`` of Pulumi.yaml), for ``up`` and ``preview``."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

from engine.project import load_project


def folder_program(directory: Path) -> Callable[[], object] | None:
    """What running the folder's program means; None when it holds no Python project.

    It runs in this process and this Python: ``virtualenv`` and other options are not looked at.
    Raises EngineError.
    """
    project = load_project(directory)
    if project is None or project.runtime != "python":
        return None
    main = directory / (project.main or ".")
    path = str(main / "__main__.py" if main.is_dir() else main)
    return lambda: runpy.run_path(path, run_name="__main__")
