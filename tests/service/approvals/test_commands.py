"""``handover approvals``: the same decisions from the command line."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.actors import Actor
from models.database import transaction
from service.cli.main import main
from service.cli.scope import settings_for
from service.context import Services
from tests.service.approvals.conftest import Person, audited
from tests.service.http.handworker import HandWorker


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def run(
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`run("list", …)`: the whole program, in this process, on the test's database."""
    assert services.settings.database == settings_for(tmp_path).database

    def call(*words: str) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["handover", "approvals", *words, "--data", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return call


def test_an_approval_is_listed_and_given(
    services: Services,
    run: Run,
    crm: Person,
    technical_manager: Person,
    worker: HandWorker,
) -> None:
    """SP-04, RX-17: the audit tells who decided from who wrote it down; a worker finds the rest."""
    crm.ask("US")
    [waiting] = json.loads(run("list", "--json").stdout)
    assert waiting["client"] == "ABC-LLC"
    assert waiting["asked"].startswith("approval by JD-005: the jurisdiction US")
    refused = run("approve", waiting["id"], "--actor", "crm", "--reason", "Because I say so")
    assert refused.returncode == 1
    assert "Nobody approves or rejects their own request" in refused.stderr
    assert "Traceback" not in refused.stderr
    words = (waiting["id"], "--actor", technical_manager.name, "--reason", "Found good")
    given = run("approve", *words)
    assert given.returncode == 0, given.stderr
    assert "The open of ABC-LLC is approved" in given.stdout
    [approval] = crm.approvals()
    assert crm.operation(approval)["state"] == "pending"
    assert worker.started == []
    [told] = [entry for entry in audited(services) if entry[0] == "approval.approved"]
    with transaction(services.database, write=False) as session:
        assert session.get_one(Actor, told[1]).name == "operator"
    assert told[2]["decided_by"] == technical_manager.id


def test_an_approval_is_rejected_with_a_reason(
    run: Run, crm: Person, technical_manager: Person
) -> None:
    """SP-04."""
    crm.ask("US")
    [approval] = crm.approvals()
    short = run("reject", approval["id"], "--actor", technical_manager.name, "--reason", "no")
    assert short.returncode == 2
    words = (approval["id"], "--actor", technical_manager.name, "--reason", "No basis")
    answer = json.loads(run("reject", *words, "--json").stdout)
    assert (answer["verdict"], answer["state"]) == ("reject", "cancelled")
    assert run("list").stdout.strip() == "No approval is waiting."
