"""The command line: help and JSON everywhere, sentences instead of tracebacks."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from engine.localaws import LocalAws
from models.actors import authenticate
from models.audit import verify_chain
from models.database import create_engine_for, transaction
from service.cli.main import app
from tests.service.test_settings import REQUIRED

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def commands() -> list[list[str]]:
    """Return each command of the program, as its words."""

    def below(command: Any, words: list[str]) -> list[list[str]]:
        subcommands = getattr(command, "commands", None)
        if not subcommands:
            return [words]
        return [found for name, sub in subcommands.items() for found in below(sub, [*words, name])]

    return below(get_command(app), [])


@pytest.fixture
def run(tmp_path: Path, local_aws: LocalAws) -> Run:
    """`run("db", "upgrade", …)`: the program in a process of its own, configured for the test."""

    def call(
        *words: str, extra: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "service", *words],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(__file__).resolve().parents[2],
            env={
                "PATH": "/usr/bin:/bin",
                **REQUIRED,
                "HANDOVER_REGION": "eu-west-1",
                "HANDOVER_DATA_DIRECTORY": str(tmp_path / "data"),
                "HANDOVER_ENGINE": "embedded",
                **local_aws.environment(),
                **(extra or {}),
            },
            check=False,
        )

    return call


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_each_command_has_help_and_json(words: list[str]) -> None:
    root: Any = get_command(app)
    command = root.commands[words[0]]
    for word in words[1:]:
        command = command.commands[word]
    assert command.help
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    assert isinstance(app, typer.Typer)


def test_from_an_empty_machine_to_a_token(run: Run, tmp_path: Path) -> None:
    """RX-17, PB-13: keys, schema, actor, token; the token is shown once and stored hashed."""
    refused = run("actor", "list", "--json")
    assert refused.returncode == 1
    assert "handover db upgrade" in json.loads(refused.stderr)["error"]["message"]
    assert "Traceback" not in refused.stderr

    assert run("keys", "generate").returncode == 0
    assert run("db", "upgrade").returncode == 0
    assert json.loads(run("db", "status", "--json").stdout)["ready"]
    added = run("actor", "add", "crm", "--kind", "system", "--role", "JD-005", "--json")
    assert json.loads(added.stdout)["roles"] == ["JD-005"]
    minted = json.loads(
        run(
            "token", "create", "crm", "--scope", "clients:read", "--slug", "ABC-LLC", "--json"
        ).stdout
    )
    database = create_engine_for(f"sqlite:///{tmp_path / 'data' / 'handover.db'}")
    with transaction(database, write=False) as session:
        found = authenticate(session, minted["token"])
        assert found is not None
        assert (found[0].slugs, found[1].name) == (["ABC-LLC"], "crm")
        assert verify_chain(session).ok
    database.dispose()
    assert minted["token"].encode() not in (tmp_path / "data" / "handover.db").read_bytes()

    assert minted["token"][-4:] in run("token", "list").stdout
    assert run("token", "revoke", minted["id"]).returncode == 0
    assert run("actor", "disable", "crm").returncode == 0
    [listed] = [a for a in json.loads(run("actor", "list", "--json").stdout) if a["name"] == "crm"]
    assert not listed["active"]


def test_serving_an_unmigrated_database_is_refused_at_the_door(run: Run) -> None:
    run("keys", "generate")
    refused = run("serve", "--port", "0")
    assert refused.returncode == 1
    assert "handover db upgrade" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_missing_setting_is_named(run: Run) -> None:
    refused = run("db", "upgrade", extra={"HANDOVER_REGION": "us-east-1"})
    assert refused.returncode == 1
    assert "HANDOVER_REGION" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_foundation_is_previewed_made_and_found_again(run: Run, unique: str) -> None:
    """SP-18, SP-20: from the command line, against an AWS."""
    own = {
        "HANDOVER_BUCKET": f"{unique}-cli",
        "HANDOVER_GROUP": f"{unique}-cli",
        "HANDOVER_BOUNDARY_NAME": f"{unique}-cli",
    }
    plan = json.loads(run("foundation", "preview", "--json", extra=own).stdout)
    assert {change["operation"] for change in plan} == {"create"}
    made = run("foundation", "up", "--json", extra=own)
    assert json.loads(made.stdout)["bucket"] == f"{unique}-cli"
    assert run("foundation", "preview", extra=own).stdout.strip() == "Nothing would change."
    assert run("foundation", "adopt", "--dry-run", extra=own).returncode == 0


def test_the_embedded_engine_refuses_aws_itself(run: Run) -> None:
    """RX-07: a laptop with production credentials does nothing to production by accident."""
    refused = run("foundation", "up", extra={"AWS_ENDPOINT_URL": ""})
    assert refused.returncode == 1
    assert "HANDOVER_ALLOW_EMBEDDED_ON_AWS" in refused.stderr
    assert "Traceback" not in refused.stderr
