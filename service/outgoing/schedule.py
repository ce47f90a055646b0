"""When a delivery is tried again, and when it is given up.

The waits follow the Standard Webhooks specification ("Retries"): about 75 hours in all, so that a
receiver that is down over a weekend misses nothing.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import SystemRandom

from models.outgoing import DeliveryState, WebhookDelivery
from service.outgoing.sending import Outcome

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long to wait after each failed attempt; after the attempt that follows the last one: dead."""

MAX_ATTEMPTS = len(WAITS) + 1

JITTER = 0.1
"""By how much of itself a wait is made longer or shorter, so that receivers that come back are
not met by everything at once."""

Jitter = Callable[[], float]
"""Returns a factor for one wait, between 1 - JITTER and 1 + JITTER."""

_random = SystemRandom()


def random_jitter() -> float:
    """Return a random factor for one wait."""
    return _random.uniform(1 - JITTER, 1 + JITTER)


def settle(
    delivery: WebhookDelivery, outcome: Outcome, at: datetime, jitter: Jitter = random_jitter
) -> DeliveryState:
    """Write down how the attempt ended, and when the next one is due if there is one; return
    the state that follows.
    """
    delivery.last_status, delivery.last_reason = outcome.status, outcome.reason
    if outcome.delivered:
        _finish(delivery, DeliveryState.delivered, at)
    elif delivery.attempts >= MAX_ATTEMPTS:
        _finish(delivery, DeliveryState.dead, at)
    else:
        delivery.next_attempt_at = at + WAITS[max(delivery.attempts, 1) - 1] * jitter()
    return delivery.state


def revive(delivery: WebhookDelivery, at: datetime) -> None:
    """Begin a dead delivery anew, due at once and with all its attempts."""
    delivery.state, delivery.finished_at = DeliveryState.pending, None
    delivery.attempts, delivery.next_attempt_at = 0, at


def cancel(delivery: WebhookDelivery, at: datetime) -> DeliveryState:
    """End a delivery whose endpoint was deleted; return the state that follows."""
    _finish(delivery, DeliveryState.cancelled, at)
    return delivery.state


def _finish(delivery: WebhookDelivery, state: DeliveryState, at: datetime) -> None:
    delivery.state, delivery.finished_at = state, at
