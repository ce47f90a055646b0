"""``handover demo``: the main job, shown and checked on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.output import JsonFlag
from service.demo.claims import Claims
from service.demo.story import tell


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the record that is handed over.")] = Path(
        "out"
    ),
    as_json: JsonFlag = False,
) -> None:
    """Open an area, hand over its key, use it, close it; fail if one claim does not hold."""
    console = Console(stderr=as_json, highlight=False)
    claims: Claims = tell(console, out)
    if as_json:
        typer.echo(json.dumps({"claims": claims.checked, "broken": claims.broken}))
    if claims.broken:
        raise typer.Exit(1)
