"""The JSON of webhooks out: requests for endpoints, and what is answered about them and events."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from models.outgoing import DeliveryState, EventType
from service.http.documents import Document
from service.outgoing.destinations import MAX_URL
from service.requests import plain_text

MAX_OVERLAP_HOURS = 168


class CreateEndpoint(BaseModel):
    """A request to be told of events."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=MAX_URL,
        description="Where to POST to; https, on a host that the operators allow.",
        examples=["https://hooks.example.com/handover"],
    )
    description: (
        Annotated[
            str,
            StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
            AfterValidator(plain_text),
        ]
        | None
    ) = None
    event_types: Annotated[list[EventType], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="Which events to tell of; all unless given."
    )


class RotateSecret(BaseModel):
    """A request for a new secret."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(
        default=24,
        ge=0,
        le=MAX_OVERLAP_HOURS,
        description="How long the old secret signs beside the new one; 0 for one that leaked.",
    )


class EndpointDocument(Document):
    """An address that is told of events."""

    id: str = Field(examples=["0f8c6f0d7c2b4a7f9f5e1c2d3b4a5968"])
    url: str
    description: str | None
    event_types: list[EventType] | None = Field(description="Null for all.")
    previous_secret_until: datetime | None = Field(
        description="Until when the secret before signs as well."
    )
    created_at: datetime
    links: dict[str, str]


class EndpointSecretDocument(EndpointDocument):
    """An endpoint with its secret, which is shown this once and never again."""

    secret: str = Field(
        description="Verifies `webhook-signature` (Standard Webhooks). Keep it: it is shown once.",
        # A shape and no value: an example that looks real would be used.
        examples=["whsec_…"],
    )


class EndpointPage(Document):
    """One page of endpoints, oldest first."""

    items: list[EndpointDocument]
    next_page_token: str | None


class ProbeDocument(Document):
    """How a test message fared."""

    delivered: bool
    status: int | None = Field(description="The receiver's HTTP status, if it answered.")
    reason: str | None = Field(description="Why it was not delivered.")
    message_id: str = Field(description="The `webhook-id` that was sent.")


class DeliveryDocument(Document):
    """One event on its way to one endpoint."""

    id: str
    state: DeliveryState
    endpoint_id: str
    event: "EventDocument"
    attempts: int
    next_attempt_at: datetime | None = Field(description="Null when it has ended.")
    last_status: int | None
    last_reason: str | None
    created_at: datetime
    finished_at: datetime | None
    links: dict[str, str]


class DeliveryPage(Document):
    """One page of deliveries, newest first."""

    items: list[DeliveryDocument]
    next_page_token: str | None


class EventDocument(Document):
    """One event of the feed; a webhook's body is the same."""

    id: str = Field(description="The `webhook-id` of its deliveries.")
    sequence: int = Field(description="Counts up; remember the last one to catch up after it.")
    type: EventType
    timestamp: datetime
    data: dict[str, Any] = Field(
        examples=[
            {
                "slug": "ABC-LLC",
                "contract_reference": "DPA-2026-014",
                "operation_id": "0f8c6f0d7c2b4a7f9f5e1c2d3b4a5968",
                "operation_kind": "open",
            }
        ]
    )


class EventPage(Document):
    """One page of the feed, oldest first."""

    items: list[EventDocument]
    next_page_token: str | None
