"""What comes in from outside: verified first, kept once, worked on later."""

import math
import re
from dataclasses import dataclass

from models.database import transaction
from models.webhooks import WebhookConnection, WebhookEvent, keep_event
from service import problems
from service.context import Services
from service.problems import Problem
from service.webhooks.catalogue import KINDS
from service.webhooks.events import UnreadableBody, events_in
from service.webhooks.rates import TokenBuckets
from service.webhooks.verifiers import Delivery

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Receipt:
    """How many events came, and how many of them had not come before."""

    received: int
    new: int


def receive(
    services: Services, rates: TokenBuckets, connection_id: str, delivery: Delivery
) -> Receipt:
    """Keep the events of a delivery, once each, and wake whoever works on them.

    Raises the same 401 Problem for a connection that is unknown or switched off and for any
    signature that is wrong, 429 for too many deliveries, 400 for a signed body that cannot be
    read.
    """
    connection = _connection(services, connection_id)
    genuine = connection is not None and _accepts(services, connection, delivery)
    # Two buckets: a flood of wrong signatures must not shut out the true sender.
    _limit(rates, f"{connection.id if connection else 'unknown'}/{genuine}")
    if connection is None or not genuine:
        raise Problem(
            problems.WEBHOOK_REFUSED,
            "The delivery could not be verified.",
            headers={"WWW-Authenticate": 'Webhook realm="handover"'},
        )
    try:
        events = events_in(KINDS[connection.kind], delivery.body, delivery.headers)
    except UnreadableBody as error:
        detail = f"The delivery is genuine, but its body cannot be used: {error}."
        raise Problem(problems.MALFORMED_BODY, detail) from None
    with transaction(services.database) as session:
        new = [
            keep_event(
                session,
                WebhookEvent(
                    connection_id=connection.id, dedupe_key=event.dedupe_key, body=event.text
                ),
            )
            for event in events
        ]
    services.arrivals.set()
    return Receipt(received=len(new), new=sum(new))


def delivery_address(base_url: str | None, connection_id: str) -> str | None:
    """Return the address that a tool is to send to; None without a configured base URL."""
    return f"{base_url}/v1/webhooks/{connection_id}" if base_url else None


def _connection(services: Services, connection_id: str) -> WebhookConnection | None:
    if not _ID.fullmatch(connection_id):
        return None
    with transaction(services.database, write=False) as session:
        found = session.get(WebhookConnection, connection_id)
    return found if found is not None and found.active else None


def _accepts(services: Services, connection: WebhookConnection, delivery: Delivery) -> bool:
    secrets = connection.secrets(services.keyring, delivery.at)
    return KINDS[connection.kind].verifier.accepts(delivery, secrets, connection.username)


def _limit(rates: TokenBuckets, key: str) -> None:
    seconds = rates.take(key)
    if seconds > 0:
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            "More deliveries came than this service takes; the tool sends them again.",
            headers={"Retry-After": str(math.ceil(seconds))},
        )
