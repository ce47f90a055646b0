"""One attempt to tell a receiver something, as the Standard Webhooks specification has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpcore
from standardwebhooks import Webhook

from models.outgoing import FeedEvent
from service.outgoing.connecting import CheckedBackend, Deadline
from service.outgoing.destinations import (
    DestinationRefused,
    Destinations,
    NameNotResolved,
    Target,
)

Headers = dict[bytes | str, bytes | str]

TIME_LIMIT_SECONDS = 15.0
"""From resolving the name to the receiver's status line."""


@dataclass(frozen=True)
class Message:
    """What is sent: its id, the same at every attempt, and its body."""

    id: str
    body: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: any 2xx is success. `reason` says in plain words why it failed."""

    delivered: bool
    status: int | None = None
    reason: str | None = None


def message_of(event: FeedEvent) -> Message:
    """Return the message that tells an event; the same bytes whenever it is made."""
    return Message(event.id, _compact(event_content(event)))


def event_content(event: FeedEvent) -> dict[str, Any]:
    """Return an event as receivers and readers of the feed see it."""
    return {
        "id": event.id,
        "sequence": event.sequence,
        "type": event.type.value,
        "timestamp": event.at.isoformat().replace("+00:00", "Z"),
        "data": event.data,
    }


def probe_message(identifier: str, at: datetime) -> Message:
    """Return the message of `POST …/test`; it is no event and not in the feed."""
    stamp = at.isoformat().replace("+00:00", "Z")
    content = {"id": identifier, "type": "webhook.test", "timestamp": stamp, "data": {}}
    return Message(identifier, _compact(content))


def headers_of(message: Message, secrets: Sequence[str], at: datetime) -> Headers:
    """Return the headers of an attempt at this moment, signed under each secret."""
    signatures = [Webhook(secret).sign(message.id, at, message.body) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": "handover-webhooks",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class Sender:
    """Sends messages to acceptable destinations: no proxy, no redirect, nothing kept alive."""

    def __init__(
        self,
        destinations: Destinations,
        *,
        time_limit: float = TIME_LIMIT_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls`: the context that checks certificates; the system's authorities unless given."""
        self._destinations = destinations
        self._time_limit = time_limit
        self._tls = tls or ssl.create_default_context()

    def send(self, url: str, message: Message, secrets: Sequence[str], at: datetime) -> Outcome:
        """Post the message, signed for the moment `at`, and return how it ended. Never raises.

        The receiver's body is not read: its status says all that counts.
        """
        try:
            target = self._destinations.target(url)
            return _judged(self._post(target, message, headers_of(message, secrets, at)))
        except DestinationRefused as refusal:
            return Outcome(delivered=False, reason=f"refused: {refusal}"[:200])
        except NameNotResolved as error:
            return Outcome(delivered=False, reason=str(error)[:200])
        except httpcore.TimeoutException:
            reason = f"no answer within {self._time_limit:g} seconds"
            return Outcome(delivered=False, reason=reason)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Outcome(delivered=False, reason=_described(error))

    def _post(self, target: Target, message: Message, headers: Headers) -> int:
        scheme = "https" if target.tls else "http"
        origin = httpcore.Origin(scheme.encode(), target.host.encode(), target.port)
        backend = CheckedBackend(self._destinations, target, Deadline(self._time_limit))
        url = httpcore.URL(scheme=scheme, host=target.host, port=target.port, target=target.path)
        with (
            httpcore.HTTPConnection(
                origin, ssl_context=self._tls, network_backend=backend
            ) as connection,
            connection.stream(
                "POST", url, headers=headers, content=message.body.encode()
            ) as answer,
        ):
            return answer.status


def _judged(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(delivered=True, status=status)
    note = "; redirects are not followed" if 300 <= status < 400 else ""
    return Outcome(delivered=False, status=status, reason=f"answered {status}{note}")


def _described(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {cause.verify_message}"[:200]
    if isinstance(cause, ssl.SSLError):
        return "no TLS connection could be made"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, httpcore.ProtocolError):
        return "the answer was not HTTP"
    return "the connection failed"


def _compact(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
