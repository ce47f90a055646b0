"""``handover webhook``: the tools that report signed contracts, and what they reported."""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from sqlmodel import col, select

from models.sealing import Keyring
from models.webhooks import WebhookConnection, WebhookEvent, WebhookEventState, WebhookKind
from service.cli.output import JsonFlag, show, show_rows
from service.cli.scope import DataOption, operator_session, reading_session, settings_for
from service.webhooks import attending, connections
from service.webhooks.attending import find_event
from service.webhooks.catalogue import KINDS
from service.webhooks.connections import Shown, find_connection
from service.webhooks.receiving import delivery_address
from service.webhooks.requests import CreateConnection, RotateSecret, UpdateConnection
from service.wishes import Requester

app = typer.Typer(help="Webhooks that come in, and what they brought.", no_args_is_help=True)
connection_app = typer.Typer(help="The tools that report signed contracts.", no_args_is_help=True)
app.add_typer(connection_app, name="connection")

EVENT_LIMIT = 50

Model = TypeVar("Model", bound=BaseModel)
Which = Annotated[str, typer.Argument(metavar="CONNECTION", help="The connection's name or id.")]
EventId = Annotated[str, typer.Argument(help="The event's id, see `handover webhook events`.")]
# Files, not words: what stands on a command line is seen by everybody on the machine.
SecretFile = Annotated[
    typer.FileText | None,
    typer.Option("--secret-file", help="File with the tool's own secret; - reads the input."),
]
CredentialFile = Annotated[
    typer.FileText | None,
    typer.Option(help="File with what is shown to the tool's API; - reads the input."),
]


@connection_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    kind: Annotated[WebhookKind, typer.Option(help="Which tool sends.")],
    secret_file: SecretFile = None,
    credential_file: CredentialFile = None,
    api_url: Annotated[str | None, typer.Option(help="The tool's API.")] = None,
    signed_value: Annotated[str | None, typer.Option(help="What means signed.")] = None,
    username: Annotated[str | None, typer.Option(help="For HTTP Basic.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON file: field to path.")
    ] = None,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Connect a tool; a secret that is made here is printed this once."""
    request = _checked(
        CreateConnection,
        name=name,
        kind=kind,
        secret=_content(secret_file),
        credential=_content(credential_file),
        api_url=api_url,
        signed_value=signed_value,
        username=username,
        mapping=_json(mapping) if mapping else {},
    )
    settings = settings_for(data)
    keyring = Keyring.from_file(settings.keyring)
    with operator_session(data) as (session, operator):
        shown = connections.create_connection(
            session, keyring, settings, operator, Requester(operator.id), request
        )
    _show(shown, settings.base_url, as_json=as_json)


@connection_app.command("list")
def list_(data: DataOption = None, as_json: JsonFlag = False) -> None:
    """List the connections, without their secrets."""
    with reading_session(settings_for(data)) as session:
        rows = [_row(connection) for connection in connections.list_connections(session)]
    show_rows(rows, as_json=as_json, empty="No tool is connected.")


@connection_app.command("rotate")
def rotate(
    connection: Which,
    secret_file: SecretFile = None,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="How long the present secret stays valid.")
    ] = 24,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a connection a new secret, or the one that the tool has made."""
    request = _checked(RotateSecret, secret=_content(secret_file), overlap_hours=overlap_hours)
    settings = settings_for(data)
    keyring = Keyring.from_file(settings.keyring)
    with operator_session(data) as (session, operator):
        found = find_connection(session, connection, for_update=True)
        shown = connections.rotate_secret(session, keyring, Requester(operator.id), found, request)
    _show(shown, settings.base_url, as_json=as_json)


@connection_app.command("disable")
def disable(connection: Which, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Take nothing from a connection any more, at once."""
    _switch(connection, data, as_json=as_json, active=False)


@connection_app.command("enable")
def enable(connection: Which, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Take deliveries from a connection again."""
    _switch(connection, data, as_json=as_json, active=True)


@app.command("events")
def events(
    state: Annotated[WebhookEventState | None, typer.Option(help="Only these.")] = None,
    connection: Annotated[str | None, typer.Option(help="Only of this connection.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most events.")] = EVENT_LIMIT,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List what the tools reported, newest first."""
    query = select(WebhookEvent, WebhookConnection.name).join(
        WebhookConnection, col(WebhookConnection.id) == col(WebhookEvent.connection_id)
    )
    if state is not None:
        query = query.where(WebhookEvent.state == state)
    with reading_session(settings_for(data)) as session:
        if connection is not None:
            wanted = find_connection(session, connection)
            query = query.where(WebhookEvent.connection_id == wanted.id)
        found = session.exec(query.order_by(col(WebhookEvent.received_at).desc()).limit(limit))
        rows = [
            {
                "id": event.id,
                "connection": name,
                "received_at": event.received_at,
                "state": event.state,
                "missing": event.missing,
                "reason": event.reason,
                "operation": event.operation_id,
            }
            for event, name in found
        ]
    show_rows(rows, as_json=as_json, empty="No events.")


@app.command("complete")
def complete(
    event_id: EventId,
    values: Annotated[
        list[str],
        typer.Option("--set", help="FIELD=VALUE, such as contract.signer.full_name=…; again."),
    ],
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Add what an event lacks; it is looked at again at once."""
    fields = dict(_pair(value) for value in values)
    with operator_session(data) as (session, operator):
        event = find_event(session, event_id, for_update=True)
        attending.complete(session, Requester(operator.id), event, fields)
    show({"id": event_id, "state": event.state}, as_json=as_json, text="It is looked at again.")


@app.command("replay")
def replay(event_id: EventId, data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Have an event looked at again that was ignored or needs attention."""
    with operator_session(data) as (session, operator):
        event = find_event(session, event_id, for_update=True)
        attending.replay(session, Requester(operator.id), event)
    show({"id": event_id, "state": event.state}, as_json=as_json, text="It is looked at again.")


def _switch(connection: str, data: Path | None, *, as_json: bool, active: bool) -> None:
    keyring = Keyring.from_file(settings_for(data).keyring)
    with operator_session(data) as (session, operator):
        found = find_connection(session, connection, for_update=True)
        change = UpdateConnection(active=active)
        connections.update_connection(session, keyring, Requester(operator.id), found, change)
    done = "enabled" if active else "disabled"
    show(_row(found), as_json=as_json, text=f"{found.name} is {done}.")


def _row(connection: WebhookConnection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "name": connection.name,
        "kind": connection.kind,
        "active": connection.active,
        "previous_secret_until": connection.previous_until,
        "created_at": connection.created_at,
    }


def _show(shown: Shown, base_url: str | None, *, as_json: bool) -> None:
    connection = shown.connection
    path = f"/v1/webhooks/{connection.id}"
    address = delivery_address(base_url, connection.id) or f"https://YOUR-HOST{path}"
    document = {**_row(connection), "path": path, "address": address, "secret": shown.secret}
    lines = [f"{KINDS[connection.kind].title}: let it send to {address}"]
    if shown.secret is not None:
        lines.append(f"Secret, shown this once: {shown.secret}")
    show(document, as_json=as_json, text="\n".join(lines))


def _checked(model: type[Model], **values: Any) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        lines = [f"{item['loc'][0]}: {item['msg']}" for item in found]
        raise typer.BadParameter("; ".join(lines)) from None


def _content(file: Any) -> str | None:
    return str(file.read()).strip() if file is not None else None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError:
        raise typer.BadParameter(f"{file.name} is not JSON") from None


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text} is not FIELD=VALUE")
    # A list of categories is written with semicolons, as the tools do.
    return name, value.split(";") if name == "data_categories" else value
