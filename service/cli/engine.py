"""``handover engine``: Pulumi's own verbs on the engine in use, and getting the official one."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.command import EmbeddedCommand
from engine.errors import EngineError
from engine.folder_program import folder_program
from engine.official import install
from service.assembly import aws_environment
from service.cli.output import JsonFlag, refuse, show
from service.cli.scope import DataOption, settings_for
from stacks.backend import Backend, choose_engine

app = typer.Typer(help="The Pulumi engine in use.", no_args_is_help=True)

BACKEND = "PULUMI_BACKEND_URL"


@app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    args: Annotated[
        list[str], typer.Argument(metavar="-- ARGS…", help="A verb of `pulumi`, with its options.")
    ],
    embedded: Annotated[
        bool, typer.Option("--embedded", help="The embedded engine, whatever is installed.")
    ] = False,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a verb of `pulumi`, such as `stack ls`, on the engine and the state of the service.

    With PULUMI_BACKEND_URL set, the environment decides alone; a script named `pulumi` that runs
    `handover engine run --embedded -- "$@"` then serves the Automation API.
    """
    environment = dict(os.environ) if BACKEND in os.environ else _of_the_service(data)
    setting = "embedded" if embedded else environment.get("HANDOVER_ENGINE", "auto")
    if _is_official(setting):
        answer = _run_official(args, environment, capture=as_json)
    else:
        answer = run_embedded(args, environment, quiet=as_json)
    if as_json:
        show(asdict(answer), as_json=True, text="")
    raise typer.Exit(answer.status)


def _is_official(setting: str) -> bool:
    if setting in ("embedded", "official"):
        return setting == "official"
    return choose_engine("auto", os.environ) == "official"


@dataclass(frozen=True)
class Answer:
    """What a verb answered; the texts are empty where they were printed as they came."""

    status: int
    stdout: str = ""
    stderr: str = ""


def _run_official(args: list[str], environment: Mapping[str, str], *, capture: bool) -> Answer:
    ended = subprocess.run(
        ["pulumi", *args], env=environment, capture_output=capture, text=True, check=False
    )
    return Answer(ended.returncode, ended.stdout or "", ended.stderr or "")


def _of_the_service(data: Path | None) -> dict[str, str]:
    settings = settings_for(data)
    passphrase = settings.passphrase.get_secret_value() if settings.passphrase else None
    backend = Backend(
        url=settings.state_url,
        engine=choose_engine(settings.engine, os.environ),
        environment=aws_environment(settings),
        passphrase=passphrase,
    )
    return {**os.environ, **backend.variables(), "HANDOVER_ENGINE": backend.engine}


def run_embedded(args: list[str], environment: Mapping[str, str], *, quiet: bool = False) -> Answer:
    """Run a command line on the embedded engine, in the present folder."""
    here = Path.cwd()
    try:
        inline = any(word.startswith("--client") for word in args)
        program = None if inline else folder_program(here)
    except EngineError as error:
        refuse("EngineError", str(error), as_json=quiet)
    print_line, print_error = (None, None) if quiet else (typer.echo, _complain)
    command = EmbeddedCommand(program=program)
    answer = command.answer(args, str(here), environment, print_line, print_error)
    return Answer(int(answer.code), answer.stdout, answer.stderr)


def _complain(line: str) -> None:
    typer.echo(line, err=True)


@app.command("install")
def install_command(as_json: JsonFlag = False) -> None:
    """Install the official `pulumi` program of the version that this service is made for."""
    try:
        installed = install()
    except EngineError as error:
        refuse("NotInstalled", str(error), as_json=as_json)
    show(
        {"version": installed.version, "folder": str(installed.folder)},
        as_json=as_json,
        text=(
            f"pulumi {installed.version} is installed. Put {installed.folder} on PATH, then run "
            "`pulumi plugin install resource aws`."
        ),
    )
