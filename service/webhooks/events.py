"""From a verified body to its events, each known again however often it comes."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.webhooks.kinds import Kind

MAX_DEPTH = 40
MAX_EVENTS = 200
"""Events in one delivery; HubSpot sends at most 100."""


class UnreadableBody(ValueError):
    """The body is no JSON of the form that the kind of tool sends."""


@dataclass(frozen=True)
class IncomingEvent:
    """One event: what it says, and the key under which it is kept once."""

    content: Mapping[str, Any]
    dedupe_key: str

    @property
    def text(self) -> str:
        """The event as JSON in ASCII."""
        return json.dumps(self.content)


def events_in(kind: Kind, body: bytes, headers: Mapping[str, str]) -> list[IncomingEvent]:
    """Return the events of a delivery; raises UnreadableBody."""
    content = _parse(body)
    found = content if kind.batch and isinstance(content, list) else [content]
    if len(found) > MAX_EVENTS:
        raise UnreadableBody(f"it has more than {MAX_EVENTS} events")
    if not all(isinstance(event, dict) for event in found):
        raise UnreadableBody("an event is not a JSON object")
    return [IncomingEvent(event, _key(kind, event, headers)) for event in found]


def without(content: Mapping[str, Any], paths: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the content without the values at these dotted paths."""
    for path in paths:
        first, _, rest = path.partition(".")
        inner = content.get(first)
        if rest and isinstance(inner, Mapping):
            content = {**content, first: without(inner, (rest,))}
        elif not rest:
            content = {name: value for name, value in content.items() if name != first}
    return content


def _key(kind: Kind, event: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    event_id = headers.get(kind.id_header, "") if kind.id_header else ""
    if event_id:
        return hashlib.sha256(b"id:" + event_id.encode("utf-8", "surrogatepass")).hexdigest()
    same = json.dumps(without(event, kind.volatile), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"content:" + same.encode()).hexdigest()


def _parse(body: bytes) -> Any:
    try:
        content = json.loads(body.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise UnreadableBody("it is not JSON in UTF-8") from None
    if any(depth > MAX_DEPTH for depth in _depths(content)):
        raise UnreadableBody(f"it is nested deeper than {MAX_DEPTH} levels")
    return content


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _depths(content: Any) -> Iterator[int]:
    """Yield how deep each value lies, without a call for each level."""
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield depth
        if depth > MAX_DEPTH:
            return
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            waiting += [(item, depth + 1) for item in inner]
