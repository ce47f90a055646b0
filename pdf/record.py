"""The frozen input of a T-050-003 record (SP-15): everything printed in it, except the secret.

The input is JSON-serialisable, so that a caller can store it and render the same pages again years
later. The secret access key is no part of it and is given to `pdf.rendering.render` apart.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from pdf.logo import Logo


class Profile(StrEnum):
    """The named permission profiles of a client's key (SP-24, PB-17)."""

    PROCEDURE = "sp-050-003"
    HARDENED = "hardened"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"

    @property
    def may_upload(self) -> bool:
        """True unless the profile only reads."""
        return self is not Profile.READ_ONLY

    @property
    def may_download(self) -> bool:
        """True unless the profile only writes."""
        return self is not Profile.WRITE_ONLY


class Frozen(BaseModel):
    """Base of the record's parts: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Organisation(Frozen):
    """Who issues the record: its name, whom to ask (PB-31, SP-13), and its logo's file if any."""

    name: str
    dpo_contact: str
    help_contact: str
    logo: Logo | None = None


class Approval(Frozen):
    """One step in the approval of the template (SP-29, SP-30).

    `by` is who signed, in the caller's own naming, and `digest` what the template said then
    (`TemplateVersion.digest`); both serve the rules and are not printed.
    """

    step: Literal["author", "reviewer", "approver"]
    role: str
    on: date
    commit: str = Field(pattern=r"^[0-9a-f]{7,64}$")
    by: str = ""
    digest: str = ""


class RecordInput(Frozen):
    """What one version of one record says; rendering it twice gives the same pages.

    `issued_at` is an instant with a time zone and is printed in `time_zone` (an IANA name).
    `prefix` and `upload_path` are object key prefixes that end in `/`. `endpoint_url` and
    `ca_bundle` are set only where the area lives on a local AWS. `approvals` and `draft` tell the
    state of the template (SP-29); `valid_until` is None where the key has no end date.
    """

    number: str = Field(pattern=r"^T-050-003-\d{4}-\d{4,}$")
    version: int = Field(ge=1)
    template_version: str
    issued_at: AwareDatetime
    time_zone: str
    language: str = Field(default="en", pattern=r"^[a-z]{2}$")
    organisation: Organisation

    client_legal_name: str
    contract_reference: str
    contract_kind: Literal["dpa", "customer"]
    contract_signed_on: date
    our_role: Literal["processor"] = "processor"
    signer_name: str
    purpose: str
    data_categories: tuple[str, ...]
    classification: str = "Personal / Confidential"

    bucket: str
    prefix: str = Field(pattern=r"/$")
    upload_path: str = Field(pattern=r"/$")
    region: str
    user_name: str
    profile: Profile
    access_key_id: str
    valid_from: date
    valid_until: date | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    profile_name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")

    approvals: tuple[Approval, ...] = ()
    draft: bool = False

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no IANA time zone") from error
        return value

    @property
    def issued_local(self) -> datetime:
        """The moment of issue in the record's own time zone."""
        return self.issued_at.astimezone(ZoneInfo(self.time_zone))

    @property
    def aws_domain(self) -> str:
        """The domain of AWS's hosts: the European Sovereign Cloud has one of its own."""
        return "amazonaws.eu" if self.region.startswith("eusc-") else "amazonaws.com"

    @property
    def area_url(self) -> str:
        """The whole area as an S3 URL that ends in `/`."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def upload_url(self) -> str:
        """Where uploads go, as an S3 URL that ends in `/`."""
        return f"s3://{self.bucket}/{self.upload_path}"
