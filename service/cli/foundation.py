"""``handover foundation``: the bucket, group and boundary that all areas share."""

from typing import Annotated, Any

import typer

from service.assembly import aws_environment, build_areas, build_foundation
from service.cli.output import JsonFlag, show, show_rows
from service.settings import Settings
from stacks.events import PlannedChange, ResourceProgress
from stacks.foundation_stack import Foundation

app = typer.Typer(help="What all areas share: bucket, group, boundary.", no_args_is_help=True)


def _foundation() -> Foundation:
    settings = Settings()
    return build_foundation(settings, build_areas(settings, aws_environment(settings)))


@app.command("preview")
def preview(as_json: JsonFlag = False) -> None:
    """Show what `up` would do, resource by resource."""
    _show_plan(_foundation().preview(), as_json=as_json)


@app.command("up")
def up(as_json: JsonFlag = False) -> None:
    """Make the foundation, or bring it up to date; refuses a bucket that exists already."""
    outputs = _foundation().up(_line if not as_json else lambda _: None)
    show(dict(outputs.plain), as_json=as_json, text=f"The foundation is there: {_said(outputs)}.")


@app.command("adopt")
def adopt(
    replace_settings: Annotated[
        bool,
        typer.Option(help="Replace policy, lifecycle and logging that the bucket has already."),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Only show what would be done.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take an existing bucket and group into the foundation; they are never replaced."""
    foundation = _foundation()
    if dry_run:
        _, plan = foundation.preview_adopt()
        _show_plan(plan, as_json=as_json)
        return
    outputs = foundation.adopt(
        replace_settings=replace_settings, on_progress=_line if not as_json else lambda _: None
    )
    show(dict(outputs.plain), as_json=as_json, text=f"The foundation is there: {_said(outputs)}.")


def _said(outputs: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in outputs.plain.items())


def _line(progress: ResourceProgress) -> None:
    if progress.phase != "started":
        typer.echo(f"{progress.operation:8} {progress.short_type():36} {progress.name}")


def _show_plan(plan: list[PlannedChange], *, as_json: bool) -> None:
    rows = [{"operation": c.operation, "type": c.type, "name": c.name} for c in plan]
    show_rows(rows, as_json=as_json, empty="Nothing would change.")
