"""Endpoints made, given another secret and deleted, and dead deliveries replayed; all audited.

Secrets are those of the Standard Webhooks specification: `whsec_` and 32 random bytes in base64.
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlmodel import Session, col, select

from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.outgoing import (
    DeliveryState,
    EventType,
    WebhookDelivery,
    WebhookEndpoint,
)
from models.sealing import Keyring
from service.outgoing.schedule import cancel, revive
from service.wishes import Requester

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with, not a secret
_SECRET_BYTES = 32


class UnknownEndpoint(LookupError):
    """No endpoint of that id exists, or it was deleted."""


class UnknownDelivery(LookupError):
    """No delivery of that id exists."""


class DeliveryNotDead(ValueError):
    """Only a dead delivery to an endpoint that still exists can be replayed."""


@dataclass(frozen=True)
class SecretShown:
    """An endpoint with its secret, at the only moment when that is known in clear."""

    endpoint: WebhookEndpoint
    plain: str = field(repr=False)


def create_endpoint(
    session: Session,
    keyring: Keyring,
    requester: Requester,
    *,
    url: str,
    description: str | None = None,
    event_types: Sequence[EventType] | None = None,
) -> SecretShown:
    """Write an endpoint whose URL was checked (`destinations`), with a new secret."""
    chosen = sorted({kind.value for kind in event_types}) if event_types is not None else None
    endpoint = WebhookEndpoint(
        url=url, description=description, event_types=chosen, created_by=requester.actor_id
    )
    plain = _mint()
    endpoint.replace_secret(keyring, plain, keep_until=None)
    session.add(endpoint)
    _tell(session, requester, "webhook_endpoint.created", endpoint)
    return SecretShown(endpoint, plain)


def rotate_secret(
    session: Session,
    keyring: Keyring,
    requester: Requester,
    endpoint_id: str,
    *,
    overlap: timedelta,
) -> SecretShown:
    """Give the endpoint a new secret; the one before signs as well while `overlap` lasts.

    None overlap cuts the old one at once, for one that leaked. Raises `UnknownEndpoint`.
    """
    endpoint = endpoint_of(session, endpoint_id, for_update=True)
    plain = _mint()
    until = utc_now() + overlap if overlap else None
    endpoint.replace_secret(keyring, plain, keep_until=until)
    hours = int(overlap / timedelta(hours=1))
    _tell(session, requester, "webhook_endpoint.secret_rotated", endpoint, overlap_hours=hours)
    return SecretShown(endpoint, plain)


def delete_endpoint(session: Session, requester: Requester, endpoint_id: str) -> None:
    """Tell the endpoint of nothing more: its secrets go, and so does what was on its way to it.

    Raises `UnknownEndpoint`.
    """
    endpoint = endpoint_of(session, endpoint_id, for_update=True)
    now = utc_now()
    endpoint.deleted_at = now
    endpoint.forget_secrets()
    waiting = select(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == endpoint.id,
        WebhookDelivery.state == DeliveryState.pending,
    )
    for delivery in session.exec(waiting.order_by(col(WebhookDelivery.id)).with_for_update()):
        cancel(delivery, now)
    _tell(session, requester, "webhook_endpoint.deleted", endpoint)


def replay(session: Session, requester: Requester, delivery_id: str) -> WebhookDelivery:
    """Send a dead delivery anew, with its first `webhook-id` and all its attempts.

    Raises `UnknownDelivery` or `DeliveryNotDead`.
    """
    plausible = _is_id(delivery_id)
    delivery = (
        session.get(WebhookDelivery, delivery_id, with_for_update=True) if plausible else None
    )
    if delivery is None:
        raise UnknownDelivery("There is no delivery of this id.")
    if delivery.state is not DeliveryState.dead:
        raise DeliveryNotDead(f"The delivery {delivery.id} is {delivery.state.value}, not dead.")
    endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
    if endpoint.deleted_at is not None:
        raise DeliveryNotDead(f"The endpoint of the delivery {delivery.id} was deleted.")
    revive(delivery, utc_now())
    entry = AuditEntry(
        actor_id=requester.actor_id,
        action="webhook_delivery.replayed",
        object_type="webhook_delivery",
        object_id=delivery.id,
        source_ip=requester.source_ip,
        request_id=requester.audited_request_id,
        data={"endpoint_id": delivery.endpoint_id, "event_sequence": delivery.event_sequence},
    )
    append_audit(session, entry)
    return delivery


def endpoint_of(session: Session, endpoint_id: str, *, for_update: bool = False) -> WebhookEndpoint:
    """Return the endpoint; raises `UnknownEndpoint`."""
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.id == endpoint_id, col(WebhookEndpoint.deleted_at).is_(None)
    )
    if for_update:
        # The weaker lock, which the foreign key of a delivery that is being announced passes.
        query = query.with_for_update(key_share=True)
    endpoint = session.exec(query).one_or_none() if _is_id(endpoint_id) else None
    if endpoint is None:
        raise UnknownEndpoint("There is no webhook endpoint of this id.")
    return endpoint


def _is_id(text: str) -> bool:
    # Text that cannot be an id (a NUL, say) never gets as far as the database.
    return text.isascii() and text.isalnum()


def _mint() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _tell(
    session: Session,
    requester: Requester,
    action: str,
    endpoint: WebhookEndpoint,
    **data: int,
) -> None:
    entry = AuditEntry(
        actor_id=requester.actor_id,
        action=action,
        object_type="webhook_endpoint",
        object_id=endpoint.id,
        source_ip=requester.source_ip,
        request_id=requester.audited_request_id,
        data=data,
    )
    append_audit(session, entry)
