"""``handover doctor`` and ``handover engine``: what is told, and what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation as auto

from engine.localaws import LocalAws
from service.cli.doctor import clock, examine
from service.settings import Settings
from tests.service.test_settings import REQUIRED

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, local_aws: LocalAws) -> Run:
    """`run("doctor", …)`: the program in a process of its own, configured for the test."""

    def call(
        *words: str, extra: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "service", *words],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=cwd,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                **REQUIRED,
                "HANDOVER_REGION": "eu-west-1",
                "HANDOVER_PASSPHRASE": "correct horse",
                "HANDOVER_DATA_DIRECTORY": str(tmp_path / "data"),
                "HANDOVER_ENGINE": "embedded",
                **local_aws.environment(),
                **(extra or {}),
            },
            check=False,
        )

    return call


def checks(answer: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(answer.stdout)["checks"]}


def test_all_is_well(run: Run) -> None:
    """Point 6: engine, plugin, backend, secrets, AWS, clock, database and migrations are green."""
    assert run("db", "upgrade").returncode == 0
    answer = run("doctor", "--json")
    found = checks(answer)
    assert answer.returncode == 0, answer.stdout
    assert json.loads(answer.stdout)["ready"] is True
    assert list(found) == [
        "engine",
        "plugin",
        "backend",
        "secrets provider",
        "AWS identity",
        "clock",
        "database",
        "migrations",
    ]
    assert found["engine"]["detail"].startswith("embedded 3.")
    assert "arn:aws:" in found["AWS identity"]["detail"]
    assert "eu-west-1" in found["AWS identity"]["detail"]
    assert not any(check["remedy"] for check in found.values())


@pytest.mark.parametrize(
    ("name", "extra", "detail", "remedy"),
    [
        ("engine", {"HANDOVER_ENGINE": "official"}, "no `pulumi` is on PATH", "engine install"),
        ("plugin", {"HANDOVER_ENGINE": "official"}, "no AWS plugin", "handover-resource-aws"),
        ("backend", {"HANDOVER_BACKEND_URL": "s3://b"}, "only file://", "HANDOVER_ENGINE=official"),
        (
            "backend",
            {"HANDOVER_BACKEND_URL": "file:///proc/nowhere"},
            "cannot be written",
            "HANDOVER_BACKEND_URL",
        ),
        (
            "secrets provider",
            {"HANDOVER_SECRETS_PROVIDER": "awskms://alias/x"},
            "only passphrase",
            "SECRETS_PROVIDER=passphrase",
        ),
        ("AWS identity", {"AWS_ENDPOINT_URL": "https://127.0.0.1:1"}, "not reached", "credentials"),
        ("database", {}, "is not there", "handover db upgrade"),
        (
            "database",
            {"HANDOVER_DATABASE_URL": "postgresql+psycopg://u:hidden@127.0.0.1:1/d"},
            "does not answer",
            "HANDOVER_DATABASE_URL",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_is_red_and_what_to_do(
    tmp_path: Path,
    local_aws: LocalAws,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    extra: Mapping[str, str],
    detail: str,
    remedy: str,
) -> None:
    """Each red check says what it found and what mends it, and nothing raises."""
    monkeypatch.chdir(tmp_path)
    environment = {
        "HOME": "/nonexistent",
        "PATH": "/usr/bin:/bin",
        **REQUIRED,
        "HANDOVER_ENGINE": "embedded",
        "HANDOVER_DATA_DIRECTORY": str(tmp_path / "data"),
        **local_aws.environment(),
        **extra,
    }
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    findings = examine(Settings())
    found = next(finding for finding in findings if finding.name == name)
    assert not found.ok
    assert detail in found.detail
    assert remedy in found.remedy
    assert "hidden" not in repr(findings)


def test_people_get_lines(run: Run) -> None:
    """Without ``--json``: a line a check, and what to do below those that are red."""
    answer = run("doctor")
    assert answer.returncode == 1
    assert "RED database" in answer.stdout
    assert "→ run `handover db upgrade`" in answer.stdout


def test_a_wrong_passphrase_is_seen(run: Run, tmp_path: Path) -> None:
    """The state's own salt decides."""
    backend = f"file://{tmp_path / 'data' / 'state'}"
    made = run("engine", "run", "--", "stack", "init", "organization/p/s")
    assert made.returncode == 0, made.stderr
    assert Path(backend.removeprefix("file://")).is_dir()
    assert checks(run("doctor", "--json"))["secrets provider"]["ok"]
    wrong = run("doctor", "--json", extra={"HANDOVER_PASSPHRASE": "another"})
    assert "incorrect passphrase" in checks(wrong)["secrets provider"]["detail"]


def test_clock_skew() -> None:
    """AWS's Date header against the local clock; it takes five minutes, we say so at two."""
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def ahead(seconds: int) -> str:
        return format_datetime(now - timedelta(seconds=seconds), usegmt=True)

    assert clock(ahead(30), now).ok
    late = clock(ahead(-300), now)
    assert not late.ok
    assert late.detail == "300 s behind AWS"
    assert "NTP" in late.remedy
    assert clock(None, now).ok


def test_engine_run(run: Run, tmp_path: Path) -> None:
    """Point 6: any supported verb, on the service's own state; failures keep their status."""
    assert run("engine", "run", "--", "version").stdout.startswith("v3.")
    assert run("engine", "run", "--", "stack", "init", "organization/p/s").returncode == 0
    listed = run("engine", "run", "--", "stack", "ls", "--all", "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["organization/p/s"]
    document = json.loads(run("engine", "run", "--json", "--", "whoami", "--json").stdout)
    assert document["status"] == 0
    assert json.loads(document["stdout"])["url"].startswith("file://")
    refused = run("engine", "run", "--", "watch")
    assert refused.returncode != 0
    assert "not supported by the embedded engine" in refused.stderr


PROGRAM = """
import pulumi
import pulumi_aws as aws
pulumi.export("region", aws.get_region().region)
"""


def test_engine_run_previews_a_folder(run: Run, tmp_path: Path) -> None:
    """A bare `preview` runs the program of the folder, as the official program does."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    assert run("engine", "run", "--", "stack", "init", "dev", cwd=folder).returncode == 0
    answer = run("engine", "run", "--", "preview", "--stack", "dev", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert "pulumi:pulumi:Stack p-dev" in answer.stdout


def test_a_script_named_pulumi_serves_the_automation_api(
    tmp_path: Path, local_aws: LocalAws
) -> None:
    """Point 6: `engine run --embedded -- up --client=…` for other tools."""
    script = tmp_path / "bin" / "pulumi"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m service engine run --embedded -- "$@"\n'
    )
    script.chmod(0o755)
    state, work = tmp_path / "state", tmp_path / "work"
    state.mkdir()
    work.mkdir()
    environment = {
        **local_aws.environment(),
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "correct horse",
        "PYTHONPATH": str(ROOT),
    }
    before = dict(os.environ)
    os.environ |= environment
    try:
        command = auto.PulumiCommand(root=str(tmp_path))
    finally:
        os.environ.clear()
        os.environ.update(before)
    options = auto.LocalWorkspaceOptions(
        work_dir=str(work),
        env_vars=environment,
        pulumi_command=command,
        project_settings=auto.ProjectSettings(name="p", runtime="python"),
    )
    stack = auto.create_or_select_stack("dev", "p", program=_export, opts=options)
    assert stack.up().outputs["answer"].value == 42


def _export() -> None:
    pulumi.export("answer", 42)


def test_install_says_when_it_cannot(run: Run, tmp_path: Path) -> None:
    """Point 6: no traceback where get.pulumi.com is out of reach."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    answer = run("engine", "install", extra={**nowhere, "HOME": str(tmp_path)})
    assert answer.returncode == 1
    assert "could not be downloaded from get.pulumi.com" in answer.stderr
    assert "Traceback" not in answer.stderr
