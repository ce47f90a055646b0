"""Configuration: ``HANDOVER_*`` from the environment or ``.env``; no secret has a default."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    FilePath,
    SecretStr,
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

DEFAULT_BUCKET = "legit-health-clients"
"""The bucket that SP-050-003 names (SP-18)."""

DEFAULT_PROFILES = (Profile.hardened, Profile.sp_050_003, Profile.read_only, Profile.write_only)


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

    group: str = "Clients"
    boundary_name: str = "handover-client-boundary"
    # NoDecode: a comma-separated list is what people write in an environment.
    profiles_allowed: Annotated[tuple[Profile, ...], NoDecode] = DEFAULT_PROFILES
    iam_user_quota: int = Field(default=5000, ge=1)
    parallel_operations: int = Field(default=16, ge=1, le=64)
    key_proof_seconds: float = Field(default=60.0, gt=0)

    wait_limit_seconds: float = Field(default=60.0, gt=0, le=300)
    max_body_bytes: int = Field(default=65536, ge=1024)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    local: bool = False
    font_directories: Annotated[tuple[Path, ...], NoDecode] = ()

    @field_validator("profiles_allowed", "trusted_proxies", "font_directories", mode="before")
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
    local: bool = True
