"""The commands of ``handover``, put together; errors that people can mend become sentences."""

import sys
from typing import NoReturn

import typer
from pydantic import ValidationError

from engine.localaws import LocalAwsError
from models.actors import UnknownScope
from models.database import DatabaseNotMigrated, DatabaseTooNew, DatabaseUrlError
from models.sealing import SealingError
from pdf import ApprovalError, UnknownTemplateError
from service.accounts import ActorExists, UnknownActor, UnknownToken
from service.backup import BackupError
from service.cli import (
    actors,
    approvals,
    backup,
    database,
    demo,
    doctor,
    engine,
    foundation,
    key,
    keys,
    reconcile,
    records,
    serve,
    templates,
    tokens,
    webhooks,
    worker,
)
from service.cli.output import refuse
from service.cli.records import UnknownRecord
from service.cli.worker import PostgresqlRequired
from service.local import DirectoryInUse
from service.problems import Problem
from service.reconcile import TooMuchToRemove
from service.record_check import UnreadableFile
from service.records import RecordGone, RecordNotReady
from service.worker.locks import DatabaseInUse
from service.worker.presence import BackendDiffers, NameTaken
from stacks.failures import StackError

app = typer.Typer(
    name="handover",
    help="Opens private storage areas for clients under contract, and closes them again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("restore")(backup.restore)
app.command("reconcile")(reconcile.reconcile)
app.add_typer(backup.app, name="backup")
app.add_typer(approvals.app, name="approvals")
app.add_typer(database.app, name="db")
app.add_typer(keys.app, name="keys")
app.add_typer(key.app, name="key")
app.add_typer(actors.app, name="actor")
app.add_typer(tokens.app, name="token")
app.add_typer(engine.app, name="engine")
app.add_typer(foundation.app, name="foundation")
app.add_typer(records.app, name="record")
app.add_typer(templates.app, name="template")
app.add_typer(webhooks.app, name="webhook")

_MENDABLE = (
    ActorExists,
    ApprovalError,
    BackendDiffers,
    BackupError,
    DatabaseInUse,
    DatabaseNotMigrated,
    DatabaseTooNew,
    DatabaseUrlError,
    DirectoryInUse,
    LocalAwsError,
    NameTaken,
    PostgresqlRequired,
    RecordGone,
    RecordNotReady,
    SealingError,
    TooMuchToRemove,
    UnknownActor,
    UnknownRecord,
    UnknownScope,
    UnknownTemplateError,
    UnknownToken,
    UnreadableFile,
)


def main() -> None:
    """Run the command line and end the process with its status."""
    try:
        app()
    except ValidationError as error:
        _refuse("settings", settings_sentence(error))
    except StackError as error:
        _refuse(error.failure.code, error.failure.detail)
    except Problem as error:
        _refuse(error.problem.name, f"{error.detail} {error.problem.remedy}")
    except _MENDABLE as error:
        _refuse(type(error).__name__, str(error))


def _refuse(code: str, message: str) -> NoReturn:
    try:
        refuse(code, message, as_json="--json" in sys.argv)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


def settings_sentence(error: ValidationError) -> str:
    """Return which settings are missing or unusable, without their values."""
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        place = "_".join(str(part) for part in item["loc"])
        name = f"HANDOVER_{place.upper()}" if place else "The settings"
        problem = "is not set" if item["type"] == "missing" else item["msg"]
        lines.append(f"{name} {problem.removeprefix('Value error, ')}.")
    return " ".join(lines)
