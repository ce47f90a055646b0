"""``handover doctor``: what is there, what is missing, and what to do about it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from engine.aws.failures import provider_error
from engine.errors import SecretsError
from engine.plugin.schema import package_version
from engine.provider import ProviderError
from engine.secrets import PassphraseSecrets
from models.database import DatabaseUrlError, current, head
from service.assembly import aws_environment, open_database
from service.cli.output import JsonFlag, show
from service.cli.scope import DataOption, settings_for
from service.settings import Settings
from stacks.automation import (
    Backend,
    Stacks,
    choose_engine,
    official_aws_plugin,
    official_program,
)
from stacks.clients import clients_for

CLOCK_LIMIT = timedelta(minutes=2)
"""How far the clock may be off; AWS refuses signatures that are 5 minutes old (SigV4)."""
PLUGIN = "pulumi-resource-aws"


@dataclass(frozen=True)
class Finding:
    """What a check found; ``remedy`` says what to do, and is empty where all is well."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


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
    found = shutil.which(PLUGIN) or official_aws_plugin(os.environ)
    yield Finding(
        "plugin",
        found is not None,
        str(found or "the official engine finds no AWS plugin"),
        ""
        if found
        else f"run `pulumi plugin install resource aws`, or link handover-resource-aws as {PLUGIN} "
        "on PATH",
    )


def backend(settings: Settings) -> Iterator[Finding]:
    """Whether the folder of the state can be read and written."""
    url = settings.state_url
    if not url.startswith("file://"):
        yield from _remote_backend(settings, url)
        return
    folder = Path(url.removeprefix("file://"))
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-"):
            pass
    except OSError as error:
        yield Finding(
            "backend",
            False,
            f"{existing} cannot be written: {error.strerror}",
            "give this user the right to write there, or set HANDOVER_BACKEND_URL",
        )
        return
    made = "" if existing == folder else ", made at the first use"
    yield Finding("backend", True, f"{folder} can be written{made}")


def _remote_backend(settings: Settings, url: str) -> Iterator[Finding]:
    where = url.split("?")[0]
    if choose_engine(settings.engine, os.environ) == "embedded":
        remedy = "set HANDOVER_ENGINE=official, or HANDOVER_BACKEND_URL to a file:// folder"
        yield Finding(
            "backend", False, f"the embedded engine cannot use {where}, only file://", remedy
        )
    elif not url.startswith("s3://"):
        yield Finding("backend", True, f"{where}: not looked at, only file:// and s3:// are")
    else:
        yield _bucket_backend(settings, where.removeprefix("s3://"))


def _bucket_backend(settings: Settings, where: str) -> Finding:
    bucket, _, prefix = where.partition("/")
    key = f"{prefix}/.doctor".lstrip("/")
    try:
        s3 = clients_for(_direct(settings)).s3()
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
        s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError, ProviderError) as error:
        remedy = f"let the service's credentials read and write s3://{where}"
        return Finding("backend", False, _said(error, f"bucket {bucket}"), remedy)
    return Finding("backend", True, f"s3://{where} can be written")


def secrets_provider(settings: Settings) -> Iterator[Finding]:
    """Whether the secrets of the state can be opened."""
    name = "secrets provider"
    if settings.secrets_provider != "passphrase":
        yield _key_provider(settings, name)
        return
    passphrase = settings.passphrase.get_secret_value() if settings.passphrase else ""
    salt = Path(settings.state_url.removeprefix("file://")) / ".pulumi" / "passphrase-salt"
    try:
        if salt.is_file():
            PassphraseSecrets(salt.read_text().strip(), passphrase).encrypt("probe")
            detail = "the passphrase opens the state's secrets"
        else:
            PassphraseSecrets.create(passphrase).encrypt("probe")
            detail = "the passphrase works; there is no state yet"
    except (SecretsError, OSError) as error:
        remedy = "set HANDOVER_PASSPHRASE to the one that the state was made with"
        yield Finding(name, False, str(error), remedy)
        return
    yield Finding(name, True, detail)


def _key_provider(settings: Settings, name: str) -> Finding:
    shown = settings.secrets_provider.split("?")[0]
    if choose_engine(settings.engine, os.environ) == "embedded":
        remedy = "set HANDOVER_ENGINE=official, or HANDOVER_SECRETS_PROVIDER=passphrase"
        return Finding(
            name, False, f"the embedded engine knows only passphrase, not {shown}", remedy
        )
    return Finding(name, True, f"{shown}: the official program uses it; not tried here")


def aws(settings: Settings) -> Iterator[Finding]:
    """Who the service is at AWS, where, and whether the clocks agree."""
    try:
        answer: Any = clients_for(_direct(settings)).sts.get_caller_identity()
    except (ClientError, BotoCoreError, ProviderError) as error:
        detail = _said(error, "GetCallerIdentity")
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


def _direct(settings: Settings) -> Mapping[str, str]:
    """The settings for calls of our own: what keeps the embedded engine off AWS is a finding too,
    but only where that engine is in use."""
    environment = aws_environment(settings)
    if choose_engine(settings.engine, os.environ) == "official":
        return {**environment, "HANDOVER_ALLOW_EMBEDDED_ON_AWS": "true"}
    return environment


def _said(error: ClientError | BotoCoreError | ProviderError, subject: str) -> str:
    told = error if isinstance(error, ProviderError) else provider_error(error, subject)
    return told.message


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    engine,
    plugin,
    backend,
    secrets_provider,
    aws,
    database,
)
