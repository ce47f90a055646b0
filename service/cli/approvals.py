"""``handover approvals``: what waits for people, and their decisions (SP-04)."""

from typing import Annotated

import typer
from sqlmodel import col, select

from models.approvals import Approval, ApprovalState, Verdict
from models.clients import Client
from models.operations import Operation
from service import accounts
from service.approvals.asking import described
from service.approvals.deciding import MAX_REASON, MIN_REASON, Wish, decide
from service.cli.output import JsonFlag, show, show_rows
from service.cli.scope import DataOption, operator_session, reading_session, settings_for
from service.requests import plain_text
from service.wishes import Requester

app = typer.Typer(help="What waits for an approval, and decisions on it.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The approval's id, see `handover approvals list`.")]
ActorOption = Annotated[str, typer.Option(help="Who decides: the name of an active person.")]


def _checked(reason: str) -> str:
    try:
        text = plain_text(reason)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not MIN_REASON <= len(text) <= MAX_REASON:
        raise typer.BadParameter(f"must have {MIN_REASON} to {MAX_REASON} characters")
    return text


ReasonOption = Annotated[str, typer.Option(help="Why; kept with the decision.", callback=_checked)]


@app.command("list")
def list_(
    state: Annotated[
        ApprovalState, typer.Option(help="Where the approvals stand.")
    ] = ApprovalState.waiting,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List approvals, those that expire first on top."""
    query = select(Approval, Client).join(Client, col(Client.id) == col(Approval.client_id))
    query = query.where(Approval.state == state).order_by(col(Approval.expires_at))
    with reading_session(settings_for(data)) as session:
        rows = [
            {
                "id": approval.id,
                "client": client.slug,
                "asked": described(approval),
                "rule": approval.rule,
                "operation": approval.operation_id,
                "expires_at": approval.expires_at,
            }
            for approval, client in session.exec(query)
        ]
    show_rows(rows, as_json=as_json, empty=f"No approval is {state.value}.")


@app.command("approve")
def approve(
    approval: Id,
    actor: ActorOption,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write down that a person approves; with the last approval the operation begins."""
    _decide(approval, Verdict.approve, actor, reason, data, as_json=as_json)


@app.command("reject")
def reject(
    approval: Id,
    actor: ActorOption,
    reason: ReasonOption,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write down that a person rejects: the operation is cancelled, and nothing was made."""
    _decide(approval, Verdict.reject, actor, reason, data, as_json=as_json)


def _decide(
    approval: str,
    verdict: Verdict,
    actor: str,
    reason: str,
    data: DataOption,
    *,
    as_json: bool,
) -> None:
    settings = settings_for(data)
    with operator_session(data) as (session, operator):
        person = accounts.actor_named(session, actor)
        wish = Wish(approval, person, verdict, reason, Requester(operator.id))
        operation = decide(session, settings, wish)
        slug = session.get_one(Client, operation.client_id).slug
    show(
        {"id": approval, "verdict": verdict, "operation": operation.id, "state": operation.state},
        as_json=as_json,
        text=_text(operation, slug),
    )


def _text(operation: Operation, slug: str) -> str:
    kind = operation.kind.value
    return {
        "pending": f"The {kind} of {slug} is approved; a worker takes it up.",
        "awaiting_approval": f"Noted. The {kind} of {slug} waits for more: {operation.waiting_for}",
        "cancelled": f"The {kind} of {slug} is cancelled; nothing was made.",
    }.get(operation.state.value, f"The {kind} of {slug} is {operation.state.value}.")
