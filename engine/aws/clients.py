"""boto3 clients made from a given environment only, and shared by all that work in it."""

import ipaddress
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import ConstantProvider

from engine.aws.guarding import ask_guard
from engine.aws.settling import Settling
from engine.provider import ProviderError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_s3 import S3Client
    from types_boto3_sts import STSClient

ALLOWANCE = "HANDOVER_ALLOW_EMBEDDED_ON_AWS"
SERVICES = ("iam", "s3", "sts")
ANSWER_VARIABLE = "HANDOVER_AWS_ANSWER_SECONDS"
SETTLE_VARIABLE = "HANDOVER_AWS_SETTLE_SECONDS"
ATTEMPTS, ANSWER_SECONDS = 5, 20.0
"""The budget of one call: so many attempts, each answered within so many seconds. Between them
botocore's standard mode pauses at random up to 1, 2, 4 and 8 seconds, so that a call ends within
two minutes; a quota that all calls of a client share stops retries earlier when most fail."""
SETTLE_SECONDS, LOCAL_SETTLE_SECONDS = 30.0, 0.5
"""How long IAM may take to know what was made; the local stand-in knows at once."""
# What botocore would otherwise take from the process's own environment.
VARIABLES = {
    "profile": "AWS_PROFILE",
    "config_file": "AWS_CONFIG_FILE",
    "credentials_file": "AWS_SHARED_CREDENTIALS_FILE",
    "ca_bundle": "AWS_CA_BUNDLE",
}
FILES = {"config_file": "~/.aws/config", "credentials_file": "~/.aws/credentials"}


@dataclass(frozen=True)
class Settings:
    """Where AWS is and who asks; hashable, and silent about its secrets."""

    region: str
    endpoints: tuple[tuple[str, str | None], ...]
    variables: tuple[tuple[str, str | None], ...]
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    attempts: int = ATTEMPTS
    answer_seconds: float = ANSWER_SECONDS
    settle_seconds: float = SETTLE_SECONDS

    @classmethod
    def of(cls, environment: Mapping[str, str], inputs: Mapping[str, Any]) -> Self:
        """Read the environment; inputs of an explicit provider resource come first.

        Raises:
            ProviderError: no region, or AWS itself where only a local AWS is allowed.
        """
        region = (
            inputs.get("region")
            or environment.get("AWS_REGION")
            or environment.get("AWS_DEFAULT_REGION")
        )
        if not region:
            raise ProviderError("RegionMissing", "no AWS region is given: set AWS_REGION")
        common = environment.get("AWS_ENDPOINT_URL")
        endpoints = {
            name: environment.get(f"AWS_ENDPOINT_URL_{name.upper()}") or common for name in SERVICES
        }
        if environment.get(ALLOWANCE, "").lower() != "true":
            refuse_real_aws(endpoints)
        variables = {name: environment.get(key) for name, key in VARIABLES.items()}
        variables["profile"] = inputs.get("profile") or variables["profile"]
        return cls(
            region,
            tuple(endpoints.items()),
            tuple((name, value or FILES.get(name)) for name, value in variables.items()),
            inputs.get("accessKey") or environment.get("AWS_ACCESS_KEY_ID") or None,
            inputs.get("secretKey") or environment.get("AWS_SECRET_ACCESS_KEY") or None,
            inputs.get("token") or environment.get("AWS_SESSION_TOKEN") or None,
            answer_seconds=float(environment.get(ANSWER_VARIABLE) or ANSWER_SECONDS),
            settle_seconds=_settle_seconds(environment, endpoints["iam"]),
        )


def _settle_seconds(environment: Mapping[str, str], endpoint: str | None) -> float:
    local = endpoint is not None and is_loopback(endpoint)
    usual = LOCAL_SETTLE_SECONDS if local else SETTLE_SECONDS
    return float(environment.get(SETTLE_VARIABLE) or usual)


def refuse_real_aws(endpoints: Mapping[str, str | None]) -> None:
    """Raise unless every service's endpoint is on this machine's loopback."""
    for service, endpoint in endpoints.items():
        if endpoint is None or not is_loopback(endpoint):
            where = endpoint or "AWS itself (AWS_ENDPOINT_URL is not set)"
            raise ProviderError(
                "EndpointRefused",
                f"the embedded engine works on a local AWS, but {service} would be asked at "
                f"{where}: install the official pulumi program (handover engine install), point "
                f"AWS_ENDPOINT_URL at a local AWS, or set {ALLOWANCE}=true if you mean it",
            )


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, by its name or address alone."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Clients:
    """The clients of one account, made when first asked for and safe to share between threads."""

    def __init__(self, settings: Settings, session: boto3.Session | None = None) -> None:
        self.settings = settings
        self.settling = Settling(settings.settle_seconds)
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str, bool], Any] = {}
        self._session = session

    @property
    def region(self) -> str:
        """The region of whatever names none itself."""
        return self.settings.region

    @property
    def partition(self) -> str:
        """The partition of the region, as in `arn:aws:…`."""
        with self._lock:
            return self._open_session().get_partition_for_region(self.region)

    @property
    def iam(self) -> "IAMClient":
        """IAM."""
        client: IAMClient = self._client("iam")
        return client

    @property
    def iam_once(self) -> "IAMClient":
        """IAM without retries: for calls that, repeated, would do their work twice."""
        client: IAMClient = self._client("iam", retry=False)
        return client

    @property
    def sts(self) -> "STSClient":
        """STS."""
        client: STSClient = self._client("sts")
        return client

    def s3(self, region: str | None = None) -> "S3Client":
        """S3 in the region, by default the provider's own."""
        client: S3Client = self._client("s3", region)
        return client

    def _client(self, service: str, region: str | None = None, *, retry: bool = True) -> Any:
        key = (service, region or self.region, retry)
        # Making a client is not safe in two threads at once, and costs tens of milliseconds.
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(*key)
            return self._made[key]

    def _make(self, service: str, region: str, retry: bool) -> Any:
        settings = self.settings
        endpoint = dict(settings.endpoints)[service]
        session: Any = self._open_session()
        return session.client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            verify=dict(settings.variables)["ca_bundle"],
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            aws_session_token=settings.token,
            config=configuration(
                endpoint,
                attempts=settings.attempts if retry else 1,
                answer_seconds=settings.answer_seconds,
            ),
        )

    def _open_session(self) -> boto3.Session:
        if self._session is None:
            self._session = open_session(self.settings)
        return self._session


def configuration(
    endpoint: str | None, *, attempts: int = ATTEMPTS, answer_seconds: float = ANSWER_SECONDS
) -> Config:
    """botocore's settings: standard retries, a pool for many stacks at once, kept-alive."""
    local = endpoint is not None and is_loopback(endpoint)
    build: Any = Config  # the stubs lack ignore_configured_endpoint_urls
    config: Config = build(
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=64,
        tcp_keepalive=True,
        connect_timeout=min(10.0, answer_seconds),
        read_timeout=answer_seconds,
        ignore_configured_endpoint_urls=True,
        # A proxy for the internet has no way to this machine's loopback.
        proxies={} if local else None,
        s3={"addressing_style": "path"} if local else None,
    )
    return config


def open_session(settings: Settings) -> boto3.Session:
    """A session that takes nothing from the process's environment variables."""
    core = botocore.session.Session()
    store = core.get_component("config_store")
    for name, value in settings.variables:
        store.set_config_provider(name, ConstantProvider(value=value))
    core.get_component("credential_provider").remove("env")
    core.register("before-send", ask_guard)
    return boto3.Session(botocore_session=core, region_name=settings.region)


_sharing = threading.Lock()


@lru_cache(maxsize=16)
def _shared(settings: Settings) -> Clients:
    return Clients(settings)


def clients_for(settings: Settings) -> Clients:
    """The clients for the settings, one set for all who ask with the same."""
    with _sharing:
        return _shared(settings)
