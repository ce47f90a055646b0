"""What an event says: nothing of ours, a wish to open an area, or a wish with gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from models.clients import ContractKind
from models.webhooks import WebhookConnection
from service.problems import FieldError
from service.requests import CreateClient
from service.webhooks.catalogue import KINDS
from service.webhooks.kinds import SIGNED_VALUE, Condition, Kind
from service.webhooks.mapping import Rule, map_event, search

_UNION_TAGS = frozenset({"parts", "full"})
_SIGNER = "contract.signer."
_PARTS = (_SIGNER + "first_name", _SIGNER + "last_name")
_FULL = _SIGNER + "full_name"


@dataclass(frozen=True)
class Reading:
    """How one connection reads its events."""

    kind: Kind
    signed_value: str
    rules: Mapping[str, Rule]
    zone: ZoneInfo

    @classmethod
    def of(cls, connection: WebhookConnection, zone: ZoneInfo) -> "Reading":
        """Return how this connection reads: the kind's default mapping under its own."""
        kind = KINDS[connection.kind]
        rules = {**kind.mapping, **connection.mapping}
        return cls(kind, connection.signed_value or kind.signed_value or "", rules, zone)

    def unrelated(self, event: Mapping[str, Any]) -> str | None:
        """Return why the event alone is no signed contract, or None."""
        return self._unmet(self.kind.signed, event)

    def outdated(self, document: Mapping[str, Any]) -> str | None:
        """Return why it is no signed contract any more by what was fetched, or None."""
        return self._unmet(self.kind.still_signed, document)

    def fields(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of the request that the mapping finds."""
        return map_event(self.rules, document, self.zone)

    def unmarked(self, fields: Mapping[str, Any]) -> str | None:
        """Return why a document or deal is about something else, or None.

        Such a tool reports everything that is signed in it; what is meant for us says the kind of
        its contract.
        """
        kind = fields.get("contract.kind")
        if not self.kind.marked or kind in [known.value for known in ContractKind]:
            return None
        said = "says no kind of contract" if kind is None else "names another kind of contract"
        return f"It {said} (contract.kind: dpa or customer), so it is about something else."

    def _unmet(self, conditions: Sequence[Condition], document: Mapping[str, Any]) -> str | None:
        for condition in conditions:
            wanted = [value.replace(SIGNED_VALUE, self.signed_value) for value in condition.values]
            found = search(condition.path, document)
            if not isinstance(found, str) or found.casefold() not in map(str.casefold, wanted):
                return f"No signed contract: {condition.path} is not {' or '.join(wanted)}."
        return None


@dataclass(frozen=True)
class Wish:
    """The request that an event amounts to; `errors` says what keeps it from being one."""

    request: CreateClient | None
    fields: Mapping[str, Any]
    errors: Sequence[FieldError] = field(default_factory=list)


def wish_of(fields: Mapping[str, Any], completion: Mapping[str, Any]) -> Wish:
    """Return the request made of the mapped fields; what a person gave goes before."""
    merged = _one_form_of_name({**fields, **completion}, completion)
    try:
        return Wish(CreateClient.model_validate(_nested(merged)), merged)
    except ValidationError as error:
        return Wish(None, merged, _errors(error))


def _one_form_of_name(fields: dict[str, Any], completion: Mapping[str, Any]) -> dict[str, Any]:
    """Keep one form of the signer's name: the one that a person gave, else whole parts, else the
    full name, which is never split.
    """
    parts_given = any(part in completion for part in _PARTS)
    parts_whole = all(part in fields for part in _PARTS)
    in_full = _FULL in completion or (_FULL in fields and not parts_given and not parts_whole)
    dropped = _PARTS if in_full else (_FULL,)
    return {name: value for name, value in fields.items() if name not in dropped}


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"contract": {"signer": {}}}
    for name, value in fields.items():
        *way, last = name.split(".")
        place = request
        for step in way:
            place = place[step]
        place[last] = value
    return request


def _errors(error: ValidationError) -> list[FieldError]:
    found = []
    for item in error.errors(include_input=False, include_url=False):
        path = ".".join(str(step) for step in item["loc"] if step not in _UNION_TAGS)
        missing = item["type"] == "missing"
        reason = "is missing" if missing else item["msg"].removeprefix("Value error, ")
        found.append(FieldError(path, reason))
    names = [one.field for one in found if one.reason == "is missing"]
    if all(part in names for part in _PARTS):
        # With no name at all, one full name is all that is needed.
        found = [one for one in found if one.field not in _PARTS]
        found.append(FieldError(_FULL, "is missing"))
    return found
