"""``handover doctor``: what is there, what is missing, and what to do about it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from engine.plugin.schema import package_version
from engine.provider import ProviderError
from models.database import DatabaseUrlError, current, head
from service.assembly import open_database
from service.cli.doctor_state import backend, secrets_provider
from service.cli.findings import Finding, direct_environment, said
from service.cli.output import JsonFlag, show
from service.cli.scope import DataOption, settings_for
from service.settings import Settings
from stacks.automation import Stacks
from stacks.backend import AWS_PLUGIN, Backend, choose_engine, official_aws_plugin, official_program
from stacks.clients import clients_for

CLOCK_LIMIT = timedelta(minutes=2)
"""How far the clock may be off; AWS refuses signatures that are 5 minutes old (SigV4)."""


def doctor(data: DataOption = None, as_json: JsonFlag = False) -> None:
    """Check engine, plugin, state, secrets, AWS, clock and database; status 1 when one is red."""
    findings = examine(settings_for(data))
    ready = all(finding.ok for finding in findings)
    show(
        {"ready": ready, "checks": [asdict(finding) for finding in findings]},
        as_json=as_json,
        text="\n".join(map(_line, findings)),
    )
    if not ready:
        raise typer.Exit(1)


def _line(finding: Finding) -> str:
    line = f"{'ok ' if finding.ok else 'RED'} {finding.name:16} {finding.detail}"
    return f"{line}\n    {'':16} → {finding.remedy}" if finding.remedy else line


def examine(settings: Settings) -> list[Finding]:
    """Run every check; none of them changes anything that stays, and none raises."""
    return [finding for check in CHECKS for finding in check(settings)]


def engine(settings: Settings) -> Iterator[Finding]:
    """Which engine is in use, and its version."""
    kind = choose_engine(settings.engine, os.environ)
    program = official_program()
    if kind == "official" and program is None:
        yield Finding(
            "engine",
            False,
            "the settings ask for the official engine, and no `pulumi` is on PATH",
            "run `handover engine install`, or set HANDOVER_ENGINE=embedded",
        )
        return
    version = Stacks(Backend(url=settings.state_url, engine=kind, environment={})).engine_version()
    where = f" ({program})" if kind == "official" else ", no program needed"
    yield Finding("engine", True, f"{kind} {version}{where}")


def plugin(settings: Settings) -> Iterator[Finding]:
    """What provides AWS to the engine."""
    if choose_engine(settings.engine, os.environ) == "embedded":
        yield Finding("plugin", True, f"built in, follows pulumi_aws {package_version()}")
        return
    found = official_aws_plugin(os.environ)
    yield Finding(
        "plugin",
        found is not None,
        str(found or "the official engine finds no AWS plugin"),
        ""
        if found
        else "run `pulumi plugin install resource aws`, or link handover-resource-aws as "
        f"{AWS_PLUGIN} on PATH",
    )


def aws(settings: Settings) -> Iterator[Finding]:
    """Who the service is at AWS, where, and whether the clocks agree."""
    try:
        answer: Any = clients_for(direct_environment(settings)).sts.get_caller_identity()
    except (ClientError, BotoCoreError, ProviderError) as error:
        detail = said(error, "GetCallerIdentity")
        remedy = "set AWS credentials, and AWS_ENDPOINT_URL where AWS is not AWS itself"
        yield Finding("AWS identity", False, detail, remedy)
        yield Finding("clock", False, "not known while AWS does not answer", "see AWS identity")
        return
    yield Finding("AWS identity", True, f"{answer['Arn']} in {settings.region}")
    yield clock(answer["ResponseMetadata"]["HTTPHeaders"].get("date"), datetime.now(UTC))


def clock(date: str | None, now: datetime) -> Finding:
    """Compare the date that AWS answers with (RFC 9110, 6.6.1) with the local clock."""
    if date is None:
        return Finding("clock", True, "AWS told no date")
    offset = now - parsedate_to_datetime(date)
    seconds = round(offset.total_seconds())
    ok = abs(offset) <= CLOCK_LIMIT
    detail = f"{abs(seconds)} s {'ahead of' if seconds >= 0 else 'behind'} AWS"
    return Finding("clock", ok, detail, "" if ok else "set this machine's clock (NTP)")


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the database answers, and its schema is the one that is needed."""
    file = Path(settings.database.removeprefix("sqlite:///"))
    if settings.database_url is None and not file.exists():
        yield Finding("database", False, f"{file} is not there", "run `handover db upgrade`")
        return
    remedy = "check HANDOVER_DATABASE_URL, and that the database runs"
    try:
        opened = open_database(settings)
        try:
            found = current(opened)
        finally:
            opened.dispose()
    except DatabaseUrlError as error:
        yield Finding("database", False, str(error), remedy)
    except (SQLAlchemyError, OSError):
        yield Finding("database", False, "does not answer", remedy)
    else:
        yield Finding("database", True, "answers")
        ok = found == head()
        detail = f"at {found or 'no revision'}, {head()} is needed"
        yield Finding("migrations", ok, detail, "" if ok else "run `handover db upgrade`")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    engine,
    plugin,
    backend,
    secrets_provider,
    aws,
    database,
)
