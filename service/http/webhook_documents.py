"""The JSON documents about webhook connections and their events; none can hold a stored secret."""

from datetime import datetime
from typing import Any

from pydantic import Field

from models.webhooks import WebhookEventState, WebhookKind
from service.http.documents import Document


class ReceiptDocument(Document):
    """How many events a delivery held, and how many had not come before."""

    received: int
    new: int


class ConnectionDocument(Document):
    """A tool that may report signed contracts."""

    id: str
    name: str
    kind: WebhookKind
    title: str
    carries: str
    """What the tool's events say by themselves."""
    fetches: str
    """What is asked at the tool's API for each event."""
    address: str | None = Field(
        description="Where the tool is to send to; null until HANDOVER_BASE_URL is set."
    )
    path: str = Field(examples=["/v1/webhooks/0f8c6f0d7c2b4a7f9f5e1c2d3b4a5968"])
    actor: str = Field(description="Row id of the actor in whose name areas are opened.")
    username: str | None
    signed_value: str | None
    mapping: dict[str, Any]
    default_mapping: dict[str, Any]
    api_url: str | None
    has_credential: bool
    active: bool
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


class NewSecretDocument(Document):
    """A connection with the secret that was made for it, which is not shown again."""

    connection: ConnectionDocument
    secret: str | None = Field(
        description="Shown this once; null where the caller brought the secret."
    )


class ConnectionPage(Document):
    """One page of connections, by name."""

    items: list[ConnectionDocument]
    next_page_token: str | None


class FindingDocument(Document):
    """A field of the request that is missing or not acceptable."""

    field: str
    reason: str


class TrialDocument(Document):
    """What one event would do."""

    outcome: WebhookEventState
    reason: str | None
    fields: dict[str, Any] | None
    findings: list[FindingDocument]


class TrialList(Document):
    """What each event of the body would do. Nothing was written."""

    items: list[TrialDocument]


class EventSummary(Document):
    """An event that a connection brought, and what became of it."""

    id: str
    connection: str = Field(description="The connection's name.")
    state: WebhookEventState
    reason: str | None
    missing: list[str] = Field(description="Fields that are missing or not acceptable.")
    attempts: int
    received_at: datetime
    finished_at: datetime | None
    links: dict[str, str]


class EventDocument(EventSummary):
    """An event with what it says, and the request that was made of it."""

    body: dict[str, Any] | None = Field(description="Null once it was erased, being old.")
    fields: dict[str, Any] | None
    completion: dict[str, Any] | None


class EventPage(Document):
    """One page of events, newest first."""

    items: list[EventSummary]
    next_page_token: str | None
