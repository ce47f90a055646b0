"""The client's side: the key out of the PDF, and AWS tools that use it."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pikepdf
from botocore.config import Config


@dataclass(frozen=True)
class Key:
    """An access key as the record hands it over, or temporary credentials taken from it."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def opens_with(pdf: Path, password: str) -> bool:
    """Tell whether the PDF opens with the password."""
    try:
        with pikepdf.open(pdf, password=password):
            return True
    except pikepdf.PasswordError:
        return False


def key_in(pdf: Path, password: str) -> Key:
    """Take the key out of the CSV that is attached inside the PDF."""
    with pikepdf.open(pdf, password=password) as document:
        for name, attachment in document.attachments.items():
            if name.endswith(".csv"):
                text = attachment.get_file().read_bytes().decode()
                row = next(csv.DictReader(io.StringIO(text)))
                return Key(row["Access key ID"], row["Secret access key"])
    raise LookupError(f"{pdf.name} has no CSV attached")


def aws(service: str, key: Key, endpoint: str, ca_bundle: str, region: str) -> Any:
    """Return a boto3 client that acts with the key, as the client's engineer would."""
    # Untyped: the stubs know services by literal names only.
    session: Any = boto3.Session()
    return session.client(
        service,
        endpoint_url=endpoint,
        verify=ca_bundle,
        region_name=region,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        aws_session_token=key.session_token,
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
    )


def session_token(key: Key, endpoint: str, ca_bundle: str, region: str) -> Key:
    """Take temporary credentials from the key, valid for an hour if nobody stopped them."""
    answer = aws("sts", key, endpoint, ca_bundle, region).get_session_token(DurationSeconds=3600)
    taken = answer["Credentials"]
    return Key(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
