"""What ``handover doctor`` finds, and how its checks ask AWS."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from engine.aws.clients import Settings as AwsSettings
from engine.aws.clients import configuration, open_session
from engine.aws.failures import provider_error
from engine.provider import ProviderError
from service.assembly import aws_environment
from service.settings import Settings
from stacks.backend import choose_engine

_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """What a check found; ``remedy`` says what to do, and is empty where all is well."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def direct_environment(settings: Settings) -> Mapping[str, str]:
    """Return the settings for calls of our own.

    What keeps the embedded engine off AWS is a finding too, but only where that engine is in use.
    """
    environment = aws_environment(settings)
    if choose_engine(settings.engine, os.environ) == "official":
        return {**environment, "HANDOVER_ALLOW_EMBEDDED_ON_AWS": "true"}
    return environment


def said(error: ClientError | BotoCoreError | ProviderError, subject: str) -> str:
    """Return what AWS said, in one sentence."""
    told = error if isinstance(error, ProviderError) else provider_error(error, subject)
    return told.message


def client_of_url(settings: Settings, service: str, url: str) -> Any:
    """Return a boto3 client for what a Pulumi URL names: `s3://bucket?…` or `awskms://key?…`.

    The URL's own `region`, `endpoint` and `disableSSL` come first (gocloud.dev/aws, V2 of
    `URLOpener`), then AWS_ENDPOINT_URL. Each call is answered within seconds or given up. Raises
    `engine.provider.ProviderError` where the embedded engine must not reach AWS itself.
    """
    environment = direct_environment(settings)
    known = AwsSettings.of(environment, {})
    query = {name.lower(): values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    endpoint = query.get("endpoint") or environment.get(f"AWS_ENDPOINT_URL_{service.upper()}")
    endpoint = endpoint or environment.get("AWS_ENDPOINT_URL")
    if endpoint and "://" not in endpoint:
        plain = "true" in (query.get("disablessl"), query.get("disable_https"))
        endpoint = f"{'http' if plain else 'https'}://{endpoint}"
    session: Any = open_session(known)
    return session.client(
        service,
        region_name=query.get("region") or known.region,
        endpoint_url=endpoint,
        verify=dict(known.variables)["ca_bundle"],
        aws_access_key_id=known.access_key,
        aws_secret_access_key=known.secret_key,
        aws_session_token=known.token,
        config=configuration(endpoint, attempts=2, answer_seconds=_ANSWER_SECONDS),
    )
