"""Configuration: ``HANDOVER_*`` from the environment or ``.env``; no secret has a default."""

from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.clients import Profile
from models.countries import EU_REGIONS
from pdf import Organisation
from pdf.logo import Logo, is_svg, small
from service.approvals.rules import DEFAULT_RULES, ApprovalRules, load_rules

DEFAULT_BUCKET = "legit-health-clients"
"""The bucket that SP-050-003 names (SP-18)."""

Host = Annotated[str, StringConstraints(to_lower=True, pattern=r"^(\*\.)?[A-Za-z0-9.:_-]+$")]
"""A host's name, or `*.` and a domain for every host below it."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
LOOPBACK_NETWORKS = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

SIGNER_NAME: Literal["signer-name"] = "signer-name"
"""The procedure's rule for what opens a record (SP-28)."""

DEFAULT_PROFILES = (Profile.sp_050_003, Profile.hardened)
"""The profiles that nobody has to be asked about."""


class Settings(BaseSettings):
    """All that can be set. A missing or unusable value stops the start with its name."""

    model_config = SettingsConfigDict(
        env_prefix="HANDOVER_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    organisation_name: str = Field(min_length=1, max_length=200)
    dpo_contact: str = Field(min_length=3, max_length=200)
    help_contact: str = Field(min_length=3, max_length=200)
    logo_file: FilePath | None = None
    """PNG, JPEG or SVG printed in the record; every version of a record keeps its copy."""
    time_zone: str
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    region: str

    data_directory: Path = Path(".handover")
    database_url: str | None = None
    keyring_file: Path | None = None
    """File with the keys that seal secrets; never in the database or its backups."""

    engine: Literal["auto", "embedded", "official"] = "auto"
    backend_url: str | None = None
    secrets_provider: str = "passphrase"
    passphrase: SecretStr | None = None
    """Passphrase of the Pulumi state's secrets, for the ``passphrase`` secrets provider."""
    allow_embedded_on_aws: bool = False
    aws_answer_seconds: float | None = Field(default=None, gt=0, le=120)
    """How long AWS may take to answer one attempt of a call of ours; 20 unless set."""
    aws_settle_seconds: float | None = Field(default=None, gt=0, le=300)
    """How long IAM may take to know what was made; 30 unless set, 0.5 on a local AWS."""

    backup_passphrase: SecretStr | None = Field(default=None, min_length=12)
    """Wraps the sealing keys in a backup; keep it apart from the backups."""
    disk_floor_mb: int = Field(default=100, ge=1)
    """Free space in megabytes below which no area is opened; closing goes on."""

    group: str = "Clients"
    boundary_name: str = "handover-client-boundary"
    # NoDecode: a comma-separated list is what people write in an environment.
    profiles_allowed: Annotated[tuple[Profile, ...], NoDecode] = DEFAULT_PROFILES
    approval_rules_file: FilePath | None = None
    """TOML or JSON; what SP-050-003 says unless set (see `service.approvals.rules`)."""
    approval_days: int = Field(default=14, ge=1, le=90)
    """How long an approval waits to be decided before it expires."""
    iam_user_quota: int = Field(default=5000, ge=1)
    parallel_operations: int = Field(default=16, ge=1, le=64)
    worker_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """The name of this process's worker, stable over restarts; the host's name unless set."""
    queue_limit: int = Field(default=5000, ge=1)
    """Unfinished operations past which no new area is opened (429)."""
    key_proof_seconds: float = Field(default=60.0, gt=0)
    rotation_overlap_days: int = Field(default=7, ge=0, le=90)
    """How long both keys work after a rotation, unless the request says otherwise."""
    operation_deadline_seconds: float = Field(default=3600.0, gt=0)
    """How long an operation may take once a worker has taken it up, waiting for AWS included; and
    how long what undoes a failed one may try. In the queue no time runs."""

    wait_limit_seconds: float = Field(default=60.0, gt=0, le=300)
    max_body_bytes: int = Field(default=65536, ge=1024)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_hosts_allowed: Annotated[tuple[Host, ...], NoDecode] = ()
    """Hosts to which webhooks may be sent; without any, no endpoint can be made."""
    webhook_networks_allowed: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks to which webhooks may be sent though they are not public."""
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+[^\s?#/]$")
    """The address under which the world reaches this service; never taken from a request."""
    webhook_requests_per_minute: int = Field(default=600, ge=1)
    """Deliveries that one process takes from one connection; more are answered 429."""
    webhook_event_days: int = Field(default=90, ge=1)
    """How long the content of settled webhook events is kept; that they came is kept for ever."""
    webhook_fetch_seconds: float = Field(default=10.0, gt=0, le=60)
    """How long a tool's API may take to answer one question."""
    link_hours: float = Field(default=72.0, gt=0, le=720)
    """How long a one-time link to a record works."""
    receipt_grace_days: float = Field(default=14.0, ge=0)
    """How long after its receipt a key's secret is kept."""
    password_rule: Literal["signer-name", "signer-name-and-code"] = SIGNER_NAME
    """What opens a record: the procedure's rule (SP-28), or that and a code of six words."""
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    mail_from: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    """Sender of the e-mails that carry links; local mode puts them in a folder instead."""
    mails_per_hour: int = Field(default=200, ge=1)
    """E-mails that may leave in an hour; more wait."""
    mail_domains_allowed: Annotated[tuple[str, ...], NoDecode] = ()
    """Domains to which links may be mailed; all, where none is set."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    local: bool = False
    font_directories: Annotated[tuple[Path, ...], NoDecode] = ()

    @field_validator(
        "profiles_allowed",
        "trusted_proxies",
        "font_directories",
        "webhook_hosts_allowed",
        "webhook_networks_allowed",
        "mail_domains_allowed",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is not an IANA time zone such as Europe/Madrid") from error
        return value

    @field_validator("logo_file")
    @classmethod
    def _usable_logo(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                TypeAdapter(Logo).validate_python(value.read_bytes())
            except ValidationError as error:
                raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        return value

    @field_validator("approval_rules_file")
    @classmethod
    def _usable_rules(cls, value: Path | None) -> Path | None:
        if value is not None:
            load_rules(value)
        return value

    @field_validator("region")
    @classmethod
    def _in_the_union(cls, value: str) -> str:
        if value not in EU_REGIONS:
            raise ValueError(
                f"is not an AWS region within the European Union (SP-03); choose one of "
                f"{', '.join(sorted(EU_REGIONS))}"
            )
        return value

    @model_validator(mode="after")
    def _passphrase_where_needed(self) -> Self:
        if self.secrets_provider == "passphrase" and self.passphrase is None and not self.local:
            raise ValueError(
                "HANDOVER_PASSPHRASE is needed with the secrets provider `passphrase`; set it, "
                "or set HANDOVER_SECRETS_PROVIDER to an awskms:// key"
            )
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        """Return the organisation's time zone, in which a day begins and ends."""
        return ZoneInfo(self.time_zone)

    @cached_property
    def organisation(self) -> Organisation:
        """Return who issues the records, with the logo as it is when first asked for."""
        logo = self.logo_file.read_bytes() if self.logo_file else None
        return Organisation(
            name=self.organisation_name,
            dpo_contact=self.dpo_contact,
            help_contact=self.help_contact,
            logo=small(logo) if logo and not is_svg(logo) else logo,
        )

    @cached_property
    def approval_rules(self) -> ApprovalRules:
        """Return which openings need whose approval, as the rules are when first asked for."""
        return load_rules(self.approval_rules_file) if self.approval_rules_file else DEFAULT_RULES

    @property
    def database(self) -> str:
        """Return the database's URL; a SQLite file in the data directory unless set."""
        return self.database_url or f"sqlite:///{self.data_directory.absolute() / 'handover.db'}"

    @property
    def keyring(self) -> Path:
        """Return the path of the file with the sealing keys."""
        return self.keyring_file or self.data_directory / "keys" / "sealing.json"

    @property
    def state_url(self) -> str:
        """Return the Pulumi backend's URL; a folder in the data directory unless set."""
        return self.backend_url or f"file://{self.data_directory.absolute() / 'state'}"


class LocalSettings(Settings):
    """Settings of local mode: what identifies an organisation gets a plain stand-in."""

    organisation_name: str = "Local trial"
    dpo_contact: str = "the data protection officer of your organisation"
    help_contact: str = "whoever started this trial"
    time_zone: str = "Europe/Madrid"
    bucket: str = DEFAULT_BUCKET
    region: str = "eu-west-1"
    engine: Literal["auto", "embedded", "official"] = "embedded"
    webhook_hosts_allowed: Annotated[tuple[Host, ...], NoDecode] = LOOPBACK_HOSTS
    webhook_networks_allowed: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = (
        LOOPBACK_NETWORKS
    )
    local: bool = True
