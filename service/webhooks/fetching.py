"""Asks the tool's API for what an event names by id only, with the connection's own credential.

The address is the one that an administrator has set, with https (or on loopback); redirects are not
followed, proxies of the environment are not used, an answer has a time limit and a size limit.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.webhooks.kinds import Api, Lookup
from service.webhooks.mapping import Rule, search

MAX_ANSWER_BYTES = 1_000_000

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchRefused(Exception):
    """The tool's API refused, or answered something else; asking again will not help."""


class FetchPostponed(Exception):
    """The tool's API could not be reached or is busy; it is worth asking again later."""


@dataclass(frozen=True)
class Fetched:
    """What the API answered, by the lookups' names, and what could not be asked for."""

    answers: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ApiClient:
    """Asks one tool's API: where it is, what is shown to it, and how long it may take."""

    api: Api
    url: str
    credential: str
    seconds: float

    def fetch(self, event: Mapping[str, Any], rules: Mapping[str, Rule]) -> Fetched:
        """Return what the event's ids stand for; raises FetchRefused or FetchPostponed."""
        answers: dict[str, Any] = {}
        notes = []
        with self._client() as client:
            for lookup in self.api.lookups:
                ids = _ids(search(lookup.id_path, {**event, "fetched": answers}))
                if len(ids) == 1:
                    answers[lookup.name] = self._ask(client, lookup, ids[0], rules)
                else:
                    notes.append(_note(lookup, len(ids)))
        return Fetched(answers, notes)

    def _client(self) -> httpx.Client:
        return httpx.Client(
            headers={self.api.header: self.api.prefix + self.credential},
            timeout=self.seconds,
            follow_redirects=False,
            trust_env=False,
        )

    def _ask(
        self, client: httpx.Client, lookup: Lookup, found: str, rules: Mapping[str, Rule]
    ) -> Any:
        address = httpx.URL(self.url.rstrip("/") + lookup.address.replace("{id}", found))
        if lookup.only_properties:
            names = ",".join(_properties(lookup.name, rules))
            address = address.copy_merge_params({"properties": names})
        try:
            with client.stream("GET", address) as answer:
                return self._read(lookup, answer)
        except httpx.HTTPError as error:
            reason = f"{self._host} did not answer for the {lookup.name} ({type(error).__name__})"
            raise FetchPostponed(reason) from None

    def _read(self, lookup: Lookup, answer: httpx.Response) -> Any:
        said = f"{self._host} answered {answer.status_code} for the {lookup.name}"
        if answer.status_code in _TRY_AGAIN:
            raise FetchPostponed(said)
        if answer.status_code != httpx.codes.OK:
            raise FetchRefused(f"{said}; check the connection's api_url and credential")
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise FetchRefused(f"{said}, with more than {MAX_ANSWER_BYTES} bytes")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise FetchRefused(f"{said}, which is not JSON; check the api_url") from None

    @property
    def _host(self) -> str:
        return httpx.URL(self.url).host


def usable_api_url(url: str) -> bool:
    """Tell whether the address may be asked: https, or http on loopback; no user, no query."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    loopback = parsed.host in ("localhost", "127.0.0.1", "::1")
    plain = not (parsed.userinfo or parsed.query or parsed.fragment)
    scheme = parsed.scheme == "https" or (parsed.scheme == "http" and loopback)
    return bool(parsed.host) and plain and scheme


def _ids(found: Any) -> list[str]:
    """Return the different ids; what could leave the path of an address is none."""
    items = found if isinstance(found, list) else [found]
    texts = {str(item) for item in items if isinstance(item, str | int) and item is not True}
    return sorted(text for text in texts if _ID.fullmatch(text))


def _note(lookup: Lookup, count: int) -> str:
    if count == 0:
        return f"the event names no {lookup.name}"
    return f"there are {count} of {lookup.name}, and nothing says which is meant"


def _properties(name: str, rules: Mapping[str, Rule]) -> Iterable[str]:
    """Return the properties of this object that the mapping reads, and the deal's stage."""
    paths = " ".join(rule for rule in rules.values() if isinstance(rule, str))
    found = set(re.findall(rf"fetched\.{name}\.properties\.([A-Za-z0-9_]+)", paths))
    return sorted(found | ({"dealstage"} if name == "deal" else set()))
