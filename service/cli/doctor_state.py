"""``handover doctor``: where the Pulumi state is kept, and what keeps its secrets."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from engine.errors import SecretsError
from engine.provider import ProviderError
from engine.secrets import PassphraseSecrets
from service.cli.findings import Finding, client_of_url, said
from service.settings import Settings
from stacks.backend import choose_engine


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
        detail = (
            f"the embedded engine cannot use {where}, only file://: its locks and its writes that "
            "a crash can't tear are those of a file system"
        )
        remedy = "set HANDOVER_ENGINE=official, or HANDOVER_BACKEND_URL to a file:// folder"
        yield Finding("backend", False, detail, remedy)
    elif not url.startswith("s3://"):
        yield Finding("backend", True, f"{where}: not looked at, only file:// and s3:// are")
    else:
        yield _bucket_backend(settings, url)


def _bucket_backend(settings: Settings, url: str) -> Finding:
    """What the state needs of a bucket, really done: write, read, list and delete one object."""
    where = url.split("?")[0]
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    key = f"{prefix.rstrip('/')}/.pulumi/doctor-{secrets.token_hex(4)}".lstrip("/")
    try:
        s3 = client_of_url(settings, "s3", url)
        s3.put_object(Bucket=bucket, Key=key, Body=b"probe")
        try:
            s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            s3.list_objects_v2(Bucket=bucket, Prefix=key)
        finally:
            s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError, ProviderError) as error:
        remedy = f"let the service's credentials write, read, list and delete below {where}"
        return Finding("backend", False, said(error, f"bucket {bucket}"), remedy)
    return Finding("backend", True, f"{where} can be written and read")


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
    url = settings.secrets_provider
    shown = url.split("?")[0]
    if choose_engine(settings.engine, os.environ) == "embedded":
        remedy = "set HANDOVER_ENGINE=official, or HANDOVER_SECRETS_PROVIDER=passphrase"
        return Finding(
            name, False, f"the embedded engine knows only passphrase, not {shown}", remedy
        )
    if not url.startswith("awskms://"):
        detail = f"{shown}: not tried, only passphrase and awskms:// are"
        return Finding(name, True, detail)
    try:
        opened = _sealed_and_opened(settings, url)
    except (ClientError, BotoCoreError, ProviderError) as error:
        remedy = f"let the service's credentials kms:Encrypt and kms:Decrypt with {shown}"
        return Finding(name, False, said(error, f"key {shown}"), remedy)
    if not opened:
        return Finding(name, False, f"{shown} gives back another text", "use another key")
    return Finding(name, True, f"{shown} encrypts and decrypts")


def _sealed_and_opened(settings: Settings, url: str) -> bool:
    """Encrypt and decrypt a text as the official program does (gocloud.dev/secrets/awskms)."""
    parts = urlsplit(url)
    kms: Any = client_of_url(settings, "kms", url)
    # awskms://ID, awskms://alias/NAME and awskms:///ARN, each with ?region=…&context_NAME=VALUE.
    key = f"{parts.netloc}{parts.path}".lstrip("/")
    context = {
        name.removeprefix("context_"): value
        for name, value in parse_qsl(parts.query)
        if name.startswith("context_")
    }
    probe = secrets.token_bytes(16)
    sealed = kms.encrypt(KeyId=key, Plaintext=probe, EncryptionContext=context)["CiphertextBlob"]
    answer = kms.decrypt(KeyId=key, CiphertextBlob=sealed, EncryptionContext=context)
    return bool(answer["Plaintext"] == probe)
