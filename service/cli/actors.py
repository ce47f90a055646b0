"""``handover actor``: the people and systems that act."""

from typing import Annotated

import typer
from sqlmodel import col, select

from models.actors import Actor, ActorKind
from service import accounts
from service.cli.output import JsonFlag, show, show_rows
from service.cli.scope import DataOption, operator_session

app = typer.Typer(help="The people and systems that act.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The actor's unique name.")]


@app.command("add")
def add(
    name: Name,
    kind: Annotated[ActorKind, typer.Option(help="A person or a system.")] = ActorKind.person,
    role: Annotated[
        list[str] | None, typer.Option(help="A role such as JD-005; may be given again.")
    ] = None,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Add an actor; it can do nothing until it has a token."""
    with operator_session(data) as (session, operator):
        actor = accounts.create_actor(session, operator, name=name, kind=kind, roles=role or [])
    show(
        {"id": actor.id, "name": name, "kind": kind.value, "roles": role or []},
        as_json=as_json,
        text=f"Added {name}. Give it a token with `handover token create {name} --scope …`.",
    )


@app.command("list")
def list_(data: DataOption = None, as_json: JsonFlag = False) -> None:
    """List all actors."""
    with operator_session(data) as (session, _):
        found = session.exec(select(Actor).order_by(col(Actor.name))).all()
        rows = [
            {"name": a.name, "kind": a.kind.value, "roles": a.roles, "active": a.active, "id": a.id}
            for a in found
        ]
    show_rows(rows, as_json=as_json, empty="There are no actors.")


@app.command("disable")
def disable(name: Name, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Stop an actor: none of its tokens works any more, at once."""
    _set_active(name, data, active=False, as_json=as_json)


@app.command("enable")
def enable(name: Name, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Let a disabled actor act again."""
    _set_active(name, data, active=True, as_json=as_json)


def _set_active(name: str, data: DataOption, *, active: bool, as_json: bool) -> None:
    with operator_session(data) as (session, operator):
        accounts.set_actor_active(session, operator, name, active=active)
    state = "may act again" if active else "is stopped; its tokens no longer work"
    show({"name": name, "active": active}, as_json=as_json, text=f"{name} {state}.")
