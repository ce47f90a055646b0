"""How a delivery proves that it comes from the tool: over the raw bytes, before anything is parsed.

A verifier answers yes or no and raises nothing, whatever the bytes. Comparisons take the same time
wherever two values differ.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

TOLERANCE_SECONDS = 300
"""How far a signed time may be from ours, either way."""

_MAX_SIGNATURES = 20
_DECODED_BY_HUBSPOT = {f"%{ord(character):02X}": character for character in ":/?@!$'()*,;"}


@dataclass(frozen=True)
class Delivery:
    """What came in: raw body, headers with lower-case names, query, and where it was sent to.

    `uri` is made of the configured base URL, never of `Host` or `X-Forwarded-…`; None without one.
    """

    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]
    uri: str | None
    at: datetime


class Verifier(Protocol):
    """Tells whether a delivery was signed with one of the secrets."""

    def accepts(self, delivery: Delivery, secrets: Sequence[str], username: str | None) -> bool:
        """Tell whether the delivery is genuine; raises nothing."""


@dataclass(frozen=True)
class StandardWebhooks:
    """https://www.standardwebhooks.com: HMAC over id, time and body; the project's own library.

    The library takes the time from the clock itself and permits 300 s either way.
    """

    def accepts(self, delivery: Delivery, secrets: Sequence[str], username: str | None) -> bool:  # noqa: ARG002 - the port
        """Tell whether one of the signatures in `webhook-signature` is right."""
        return any(self._verifies(delivery, secret) for secret in secrets)

    def _verifies(self, delivery: Delivery, secret: str) -> bool:
        headers = dict(delivery.headers)
        try:
            Webhook(secret).verify(delivery.body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            # ValueError is what malformed base64, text or lists raise inside the library.
            return False
        return True


@dataclass(frozen=True)
class BodyHmac:
    """HMAC-SHA256 over the raw body, in a header or in a query parameter.

    `prefix`: every header that begins so is tried, since a tool may sign with several keys.
    """

    place: Literal["header", "prefix", "query"]
    name: str
    encoding: Literal["hex", "base64"]

    def accepts(self, delivery: Delivery, secrets: Sequence[str], username: str | None) -> bool:  # noqa: ARG002 - the port
        """Tell whether any signature sent fits any secret."""
        digests = [hmac.new(secret.encode(), delivery.body, hashlib.sha256) for secret in secrets]
        expected = [
            digest.hexdigest() if self.encoding == "hex" else _base64(digest.digest())
            for digest in digests
        ]
        return _any_equal(self._signatures(delivery), expected)

    def _signatures(self, delivery: Delivery) -> list[str]:
        if self.place == "query":
            found = [delivery.query.get(self.name, "")]
        elif self.place == "header":
            found = [delivery.headers.get(self.name, "")]
        else:
            found = [v for name, v in delivery.headers.items() if name.startswith(self.name)]
        # Hexadecimal digits are the same number in either case.
        return [text.lower() if self.encoding == "hex" else text for text in found]


@dataclass(frozen=True)
class HubSpotV3:
    """HubSpot's signature version 3: method, URI, body and time, with the app's client secret.

    https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
    """

    def accepts(self, delivery: Delivery, secrets: Sequence[str], username: str | None) -> bool:  # noqa: ARG002 - the port
        """Tell whether the signature is right and its time near ours."""
        signature = delivery.headers.get("x-hubspot-signature-v3", "")
        stamp = delivery.headers.get("x-hubspot-request-timestamp", "")
        if delivery.uri is None or not re.fullmatch(r"[0-9]{1,15}", stamp):
            return False
        if abs(delivery.at.timestamp() - int(stamp) / 1000) > TOLERANCE_SECONDS:
            return False
        signed = b"POST" + _decoded(delivery.uri).encode() + delivery.body + stamp.encode()
        expected = [
            _base64(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
            for secret in secrets
        ]
        return _any_equal([signature], expected)


@dataclass(frozen=True)
class BasicAuthentication:
    """RFC 7617, for tools that sign nothing: whoever knows the password is the tool."""

    def accepts(self, delivery: Delivery, secrets: Sequence[str], username: str | None) -> bool:
        """Tell whether user name and password are right."""
        scheme, _, sent = delivery.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or username is None:
            return False
        expected = [_base64(f"{username}:{secret}".encode()) for secret in secrets]
        return _any_equal([sent.strip()], expected)


def _any_equal(sent: Sequence[str], expected: Sequence[str]) -> bool:
    """Compare each with each, always all of them; bytes, as text outside ASCII is not compared."""
    results = [
        hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())
        for one in sent[:_MAX_SIGNATURES]
        for other in expected
    ]
    return any(results)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(uri: str) -> str:
    """Decode what HubSpot decodes before it signs, and nothing else."""
    return re.sub(
        r"%[0-9A-Fa-f]{2}",
        lambda found: _DECODED_BY_HUBSPOT.get(found[0].upper(), found[0]),
        uri,
    )
