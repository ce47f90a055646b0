"""``handover template``: the record's template as a controlled document."""

from typing import Annotated, Any

import typer
from sqlmodel import Session, select

from models.actors import Actor
from models.templates import ApprovalStep
from service import accounts, templates
from service.cli.output import JsonFlag, show, show_rows
from service.cli.scope import DataOption, operator_session, reading_session, settings_for
from service.templates import TemplateState

app = typer.Typer(help="The template of the record, and who signed it.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="The template's version, such as 1.")]


@app.command("list")
def list_(data: DataOption = None, as_json: JsonFlag = False) -> None:
    """List the versions of the template; new records are made under the chosen one."""
    settings = settings_for(data)
    with reading_session(settings) as session:
        states = templates.template_states(session, settings.zone)
    rows = [
        {
            "version": state.version.version,
            "state": _state(state),
            "due": state.due.value if state.due else None,
            "chosen": state.chosen,
            "changes": state.version.changes,
        }
        for state in states
    ]
    show_rows(rows, as_json=as_json, empty="There are no templates.")


@app.command("show")
def show_(version: Version, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Show who signed a version, when, and with which commit."""
    settings = settings_for(data)
    with reading_session(settings) as session:
        state = templates.template_state(session, settings.zone, version)
        approvals = _approvals(session, state)
    document = {
        "version": state.version.version,
        "state": _state(state),
        "due": state.due,
        "chosen": state.chosen,
        "digest": state.version.digest,
        "approvals": approvals,
    }
    lines = [f"Template {version} is {_state(state)}; its words have SHA-256 {document['digest']}."]
    lines += [
        f"{a['step']}: {a['actor'] or '–'}, {a['role']}, {a['on']}, commit {a['commit']}"
        for a in approvals
    ]
    lines += [f"Next: its {state.due}."] if state.due else []
    show(document, as_json=as_json, text="\n".join(lines))


@app.command("approve")
def approve(
    version: Version,
    step: Annotated[ApprovalStep, typer.Option(help="What the signature means.")],
    actor: Annotated[str, typer.Option(help="Who signed: the name of an active person.")],
    commit: Annotated[str, typer.Option(help="The verified commit that is the signature, whole.")],
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write down a signature: author, then reviewer, then approver, nobody twice."""
    settings = settings_for(data)
    with operator_session(data) as (session, operator):
        templates.approve(
            session,
            operator,
            settings.zone,
            actor=accounts.actor_named(session, actor),
            version=version,
            step=step,
            commit=commit,
        )
        state = templates.template_state(session, settings.zone, version)
    due = f"next is its {state.due}" if state.due else "new records are made under it"
    show(
        {"version": version, "step": step, "actor": actor, "state": _state(state)},
        as_json=as_json,
        text=f"Template {version} is signed by its {step}; {due}.",
    )


def _state(state: TemplateState) -> str:
    if state.changed:
        return "changed since it was signed"
    return "draft" if state.version.draft else "approved"


def _approvals(session: Session, state: TemplateState) -> list[dict[str, Any]]:
    ids = [approval.by for approval in state.version.approvals]
    names = {actor.id: actor.name for actor in session.exec(select(Actor)) if actor.id in ids}
    return [
        {
            "step": approval.step,
            "role": approval.role,
            "actor": names.get(approval.by),
            "on": approval.on,
            "commit": approval.commit,
        }
        for approval in state.version.approvals
    ]
