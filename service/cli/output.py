"""What the command line prints: for people by default, one JSON document with ``--json``."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)


def show(document: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Print one document: as JSON, or as the text."""
    if as_json:
        typer.echo(json.dumps(document, default=_plain))
    else:
        _console.print(text, markup=False, soft_wrap=True)


def show_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows with the same keys: as a JSON list, or as a table."""
    if as_json:
        typer.echo(json.dumps(list(rows), default=_plain))
        return
    if not rows:
        _console.print(empty)
        return
    table = Table(*(name.replace("_", " ") for name in rows[0]))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    _console.print(table)


def refuse(code: str, message: str, *, as_json: bool) -> NoReturn:
    """Print why a command could not do its work, and end with status 1."""
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": message}}), err=True)
    else:
        _errors.print(f"handover: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(1)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="minutes")
    return str(value)
