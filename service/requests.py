"""What a request may look like: shapes, types, lengths and characters of each field, unknown fields
refused.
"""

import re
import unicodedata
from datetime import date
from typing import Annotated, Any, Literal, Self

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from models.clients import ContractKind, Profile
from models.countries import check_country
from models.names import MAX_NAME, check_name

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain_text(text: str) -> str:
    """Return the text in NFC form with single spaces; refuse control, bidi and zero-width
    characters.
    """
    for character in text:
        if unicodedata.category(character) in _UNSAFE:
            raise ValueError(f"must not hold the character U+{ord(character):04X}")
    return " ".join(unicodedata.normalize("NFC", text).split())


def _iso_date(value: Any) -> Any:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not _ISO_DATE.fullmatch(value):
        raise ValueError("must be a date such as 2026-03-31")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is not a day of the calendar") from None


def _email(text: str) -> str:
    try:
        # Reserved names such as `.test` are let through: nothing is looked up or sent here.
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError("is not an e-mail address") from None
    return found.normalized


def _signer_form(value: Any) -> str:
    # Asked of the JSON that comes in, and of the model that is written out again.
    full = isinstance(value, SignerInFull) or (isinstance(value, dict) and "full_name" in value)
    return "full" if full else "parts"


Name = Annotated[str, Field(strict=True, max_length=MAX_NAME), AfterValidator(check_name)]
PlainText = Annotated[
    str, Field(strict=True), StringConstraints(strip_whitespace=True), AfterValidator(plain_text)
]
"""Text of one line, without control characters."""
_Plain = Annotated[str, Field(strict=True), AfterValidator(plain_text)]
Purpose = Annotated[_Plain, StringConstraints(min_length=3, max_length=500)]
Category = Annotated[_Plain, StringConstraints(min_length=1, max_length=80)]
Reference = Annotated[_Plain, StringConstraints(min_length=1, max_length=100)]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
Country = Annotated[
    str, StringConstraints(min_length=2, max_length=2), AfterValidator(check_country)
]
Language = Literal["en", "es"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignerByParts(_Request):
    """Who signed the contract, by first and last name."""

    first_name: Name = Field(examples=["Ada"])
    last_name: Name = Field(examples=["Lovelace"])
    email: Email = Field(examples=["ada@abc.example"])


class SignerInFull(_Request):
    """Who signed the contract, by one full name, which is never split."""

    full_name: Name = Field(examples=["Ada Lovelace"])
    email: Email = Field(examples=["ada@abc.example"])


SignerRequest = Annotated[
    Annotated[SignerByParts, Tag("parts")] | Annotated[SignerInFull, Tag("full")],
    Discriminator(_signer_form),
]


class ContractRequest(_Request):
    """The contract that permits the sharing: a DPA signed for it, or an existing customer
    contract.
    """

    kind: ContractKind
    reference: Reference = Field(examples=["DPA-2026-014"])
    signed_on: IsoDate = Field(description="Day of the last signature.", examples=["2026-03-31"])
    ends_on: IsoDate | None = Field(default=None, description="Last day of the contract.")
    jurisdiction: Country = Field(description="ISO 3166-1 alpha-2.", examples=["ES"])
    signer: SignerRequest


class CreateClient(_Request):
    """A wish to open an area for a client under contract."""

    legal_name: Name = Field(examples=["ABC LLC"])
    purpose: Purpose = Field(
        description="What the data are shared for (SP-01).",
        examples=["Clinical validation of the device"],
    )
    data_categories: list[Category] = Field(
        min_length=1, max_length=20, examples=[["clinical images"]]
    )
    special_category: bool = Field(
        default=False,
        strict=True,
        description="Whether data of a special category are among them (GDPR art. 9): the opening "
        "then waits for an approval.",
    )
    contract: ContractRequest
    slug: str | None = Field(
        default=None,
        max_length=100,
        description="Name in paths and in AWS; made from the legal name unless given.",
        examples=["ABC-LLC"],
    )
    profile: Profile = Profile.hardened
    language: Language = "en"
    valid_until: IsoDate | None = Field(
        default=None, description="Day on which the key stops working."
    )


class ReopenClient(_Request):
    """A wish to reopen an area; whatever is left out stays as it was."""

    contract: ContractRequest | None = None
    purpose: Purpose | None = None
    data_categories: list[Category] | None = Field(default=None, min_length=1, max_length=20)
    special_category: bool | None = Field(default=None, strict=True)
    profile: Profile | None = None
    language: Language | None = None
    valid_until: IsoDate | None = None


class SignerUpdate(_Request):
    """Another signer, by both names or by one full name, another e-mail address, or all of it."""

    first_name: Name | None = None
    last_name: Name | None = None
    full_name: Name | None = None
    email: Email | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        parts = [name is not None for name in (self.first_name, self.last_name)]
        in_full = self.full_name is not None
        if any(parts) and (in_full or not all(parts)):
            raise ValueError("give first_name and last_name, or full_name alone")
        return self

    @property
    def named(self) -> bool:
        """True where the name is given, in either form."""
        return self.full_name is not None or self.first_name is not None


class ContractUpdate(_Request):
    """What may change of a contract that stays the same one; another contract needs a reopening."""

    ends_on: IsoDate | None = Field(default=None, description="Last day; null for no end.")
    signer: SignerUpdate | None = None


class UpdateClient(_Request):
    """A change to what the client's record says; whatever is left out stays as it was."""

    contract: ContractUpdate | None = None
    purpose: Purpose | None = None
    data_categories: list[Category] | None = Field(default=None, min_length=1, max_length=20)
    language: Language | None = None
    valid_until: IsoDate | None = Field(
        default=None, description="Day on which the key stops working; null for no end."
    )
