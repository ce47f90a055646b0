"""``handover key off``: cut a leaked key by AWS alone, with or without the database."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from engine.aws.clients import ALLOWANCE
from engine.localaws import LocalAws, running_on
from models.clients import Client
from models.database import DatabaseNotMigrated, DatabaseTooNew, DatabaseUrlError, transaction
from service.accounts import ensure_operator
from service.assembly import aws_environment
from service.cli.output import JsonFlag, refuse, show
from service.cli.scope import DataOption, database_of, settings_for
from service.local import LOCAL_REGION
from service.settings import Settings
from service.suspension.wishes import suspend
from service.wishes import Requester
from stacks.suspension import AccessSwitch, HeldAccess, Target

app = typer.Typer(help="One client's access key, by its id.", no_args_is_help=True)

_DOWN = (SQLAlchemyError, DatabaseNotMigrated, DatabaseTooNew, DatabaseUrlError)


class NotRecorded(RuntimeError):
    """The records could not be told of a cut; the message says why."""


@app.callback()
def group() -> None:
    """One client's access key, by its id."""


@app.command("off")
def off(
    access_key_id: Annotated[
        str, typer.Argument(metavar="KEY_ID", help="The id in the leak report, AKIA…")
    ],
    reason: Annotated[
        str, typer.Option(help="Why; kept with the suspension.")
    ] = "Cut by `handover key off`",
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Cut all access of the key's user, now: keys inactive, everything denied, read back from AWS.

    Asks AWS alone, so that it works with the database down. Where the database answers the client
    is suspended there as well; where it does not, this says what to do once it is back.
    """
    settings = _settings(data)
    with _aws(settings, data) as environment:
        switch = AccessSwitch({**environment, ALLOWANCE: "true"})
        target = _target(switch, access_key_id, as_json=as_json)
        held = switch.cut(target)
        try:
            _record(settings, target, reason)
        except NotRecorded as error:
            _tell(access_key_id, target, held, str(error), as_json=as_json)
            return
        # What ran before the records knew may have switched a key on again.
        _tell(access_key_id, target, switch.cut(target), None, as_json=as_json)


def _settings(data: Path | None) -> Settings | None:
    """Return the settings; None where they are not whole: AWS's own are enough to cut a key."""
    try:
        return settings_for(data)
    except ValidationError:
        return None


@contextmanager
def _aws(settings: Settings | None, data: Path | None) -> Iterator[Mapping[str, str]]:
    """Open the AWS that is meant: of a local service that runs, or has to be started for it."""
    if data is None:
        known = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        yield aws_environment(settings) if settings is not None else known
        return
    running = running_on(data / "aws", region=LOCAL_REGION)
    if running is not None:
        yield running
        return
    with LocalAws.start(data / "aws", region=LOCAL_REGION) as local:
        yield local.environment()


def _target(switch: AccessSwitch, access_key_id: str, *, as_json: bool) -> Target:
    user_name = switch.user_with_key(access_key_id)
    if user_name is None:
        sentence = f"AWS knows no key {access_key_id} in this account: nothing was changed."
        refuse("UnknownKey", sentence, as_json=as_json)
    client_id = switch.client_of(user_name)
    if client_id is None:
        sentence = (
            f"The key {access_key_id} belongs to the user {user_name}, who is not a client of "
            "this service: nothing was changed. Switch it off in the AWS console."
        )
        refuse("NotOurs", sentence, as_json=as_json)
    return Target(client_id, user_name, user_name, (access_key_id,))


def _record(settings: Settings | None, target: Target, reason: str) -> None:
    """Suspend the client in the records; raises `NotRecorded`."""
    if settings is None:
        raise NotRecorded("the settings of the service are not set here")
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise NotRecorded(f"there is no database file {url.database}")
    try:
        with database_of(settings) as database, transaction(database) as session:
            _suspend(session, target, reason)
    except _DOWN as error:
        raise NotRecorded(f"the database does not answer ({type(error).__name__})") from error


def _suspend(session: Session, target: Target, reason: str) -> None:
    client = session.get(Client, target.client_id, with_for_update=True)
    if client is None:
        raise NotRecorded(f"the records know no client {target.client_id}")
    suspend(session, client, reason, Requester(ensure_operator(session).id))


def _tell(
    access_key_id: str,
    target: Target,
    held: HeldAccess,
    not_recorded: str | None,
    *,
    as_json: bool,
) -> None:
    keys = {key.access_key_id: "Active" if key.active else "Inactive" for key in held.keys}
    to_do = [] if not_recorded is None else _to_do(target)
    document = {
        "access_key_id": access_key_id,
        "user_name": target.user_name,
        "client_id": target.client_id,
        "cut": held.cut,
        "denied": held.denied,
        "keys": keys,
        "recorded": not_recorded is None,
        "not_recorded_because": not_recorded,
        "to_do": to_do,
    }
    listed = ", ".join(f"{key_id} {status}" for key_id, status in keys.items())
    lines = [f"Cut, as AWS confirms: {target.user_name} is denied everything; keys: {listed}."]
    if not_recorded is None:
        lines.append(
            f"The client is suspended in the records. Give access back by POST /v1/clients/"
            f"{target.user_name}/resume, or replace the key by …/rotate?now=true first."
        )
    else:
        lines.append(f"The records do not know it yet: {not_recorded}. When the database is back:")
        lines += [f"  {number}. {step}" for number, step in enumerate(to_do, start=1)]
    show(document, as_json=as_json, text="\n".join(lines))


def _to_do(target: Target) -> list[str]:
    return [
        f"POST /v1/clients/{target.user_name}/suspend, so that the records know the suspension",
        "handover reconcile, to see whether AWS and the records agree",
    ]
