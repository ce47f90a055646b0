"""``handover token``: what an actor shows to act."""

from typing import Annotated

import typer

from models.actors import Scope
from service import accounts
from service.cli.output import JsonFlag, show, show_rows
from service.cli.scope import DataOption, operator_session

app = typer.Typer(help="The tokens with which actors act.", no_args_is_help=True)


@app.command("create")
def create(
    actor: Annotated[str, typer.Argument(help="The actor's name.")],
    scope: Annotated[list[Scope], typer.Option(help="A scope; may be given again.")],
    slug: Annotated[
        list[str] | None, typer.Option(help="Limit the token to this client; may be given again.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it expires.")] = (
        accounts.DEFAULT_TOKEN_DAYS
    ),
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Create a token and print it: this is the only time it is shown."""
    with operator_session(data) as (session, operator):
        token = accounts.create_token(
            session,
            operator,
            actor=accounts.actor_named(session, actor),
            scopes=[item.value for item in scope],
            slugs=slug,
            days=days,
        )
    document = {"id": token.id, "token": token.plain, "expires_at": token.expires_at}
    show(document, as_json=as_json, text=token.plain)


@app.command("list")
def list_(data: DataOption = None, as_json: JsonFlag = False) -> None:
    """List all tokens, without what they are."""
    with operator_session(data) as (session, _):
        rows = [
            {
                "id": token.id,
                "actor": actor.name,
                "ends_in": token.hint,
                "scopes": token.scopes,
                "slugs": token.slugs,
                "expires_at": token.expires_at,
                "revoked_at": token.revoked_at,
                "last_used_at": token.last_used_at,
            }
            for token, actor in accounts.list_tokens(session)
        ]
    show_rows(rows, as_json=as_json, empty="There are no tokens.")


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, see `handover token list`.")],
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Revoke a token, at once and for ever."""
    with operator_session(data) as (session, operator):
        accounts.revoke_token(session, operator, token_id)
    show({"id": token_id, "revoked": True}, as_json=as_json, text=f"Token {token_id} is revoked.")
