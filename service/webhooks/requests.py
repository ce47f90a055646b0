"""What administrators may send about connections and events."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from models.webhooks import WebhookKind
from service.requests import plain_text

MIN_SECRET, MAX_SECRET = 12, 500

ConnectionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Secret = Annotated[
    SecretStr,
    Field(
        min_length=MIN_SECRET,
        max_length=MAX_SECRET,
        description="The secret that the tool has made; without it one is made here.",
    ),
]
Credential = Annotated[
    SecretStr,
    Field(min_length=1, max_length=MAX_SECRET, description="What is shown to the tool's own API."),
]
SignedValue = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(plain_text)
]
Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
ApiUrl = Annotated[str, StringConstraints(min_length=8, max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateConnection(_Request):
    """A tool that is to report signed contracts."""

    name: ConnectionName = Field(examples=["sales-hubspot"])
    kind: WebhookKind
    secret: Secret | None = None
    username: Username | None = Field(default=None, description="For HTTP Basic.")
    signed_value: SignedValue | None = Field(
        default=None, description="What means signed, where the kind leaves it open."
    )
    mapping: dict[str, Any] = Field(
        default_factory=dict,
        max_length=40,
        description="By field of a request: a JMESPath, `{constant: value}`, or null for none.",
        examples=[{"contract.kind": {"constant": "dpa"}}],
    )
    api_url: ApiUrl | None = Field(default=None, examples=["https://example.pipedrive.com"])
    credential: Credential | None = None


class UpdateConnection(_Request):
    """A change to a connection; whatever is left out stays as it was."""

    mapping: dict[str, Any] | None = Field(default=None, max_length=40)
    signed_value: SignedValue | None = None
    username: Username | None = None
    api_url: ApiUrl | None = None
    credential: Credential | None = None
    active: bool | None = None


class RotateSecret(_Request):
    """A new secret; the present one stays valid for the overlap."""

    secret: Secret | None = None
    overlap_hours: float = Field(default=24, ge=0, le=720)


class TryEvent(_Request):
    """A body as the tool would send it, to see what it would do."""

    body: dict[str, Any] | list[Any]
    fetched: dict[str, Any] | None = Field(
        default=None, description="What the tool's API would answer; it is asked unless given."
    )


class CompleteEvent(_Request):
    """What an event does not say, by field of the request."""

    fields: dict[str, Any] = Field(
        min_length=1, max_length=40, examples=[{"contract.signer.full_name": "Ada Lovelace"}]
    )
