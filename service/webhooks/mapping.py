"""From an event to the fields of a request, by declarative paths (JMESPath) and constants.

A mapping names, for a field of the request such as `contract.signer.full_name`, a JMESPath into the
event, or `{"constant": value}`. What the tool's API answered lies under `fetched`.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import jmespath
import pycountry
from jmespath.exceptions import JMESPathError
from pydantic import BaseModel

from service.requests import ContractRequest, CreateClient, SignerByParts, SignerInFull

MAX_PATH = 1000
"""Characters of one path."""

Rule = str | Mapping[str, Any] | None
"""A JMESPath, `{"constant": value}`, or None for a field that stays empty."""


class MappingError(ValueError):
    """A mapping that cannot be used. `field` is the field whose rule is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field} {reason}")


def _fields() -> frozenset[str]:
    """Every field of a request, so that one added there can be mapped here."""

    def leaves(model: type[BaseModel], prefix: str, *without: str) -> set[str]:
        return {prefix + name for name in model.model_fields if name not in without}

    signer = "contract.signer."
    return frozenset(
        leaves(CreateClient, "", "contract")
        | leaves(ContractRequest, "contract.", "signer")
        | leaves(SignerByParts, signer)
        | leaves(SignerInFull, signer)
    )


FIELDS = _fields()
"""The fields that a mapping may fill, as dotted paths."""

_DATES = frozenset({"valid_until", "contract.signed_on", "contract.ends_on"})


def check_mapping(mapping: Mapping[str, Rule]) -> None:
    """Raise MappingError for a field that does not exist or a rule that cannot be read."""
    for field, rule in mapping.items():
        if field not in FIELDS:
            raise MappingError(field[:60], f"is not a field; known are {', '.join(sorted(FIELDS))}")
        if isinstance(rule, str):
            _check_path(field, rule)
        elif rule is not None and set(rule) != {"constant"}:
            raise MappingError(field, "needs a path, or an object with `constant` alone")


def map_event(
    rules: Mapping[str, Rule], document: Mapping[str, Any], zone: ZoneInfo
) -> dict[str, Any]:
    """Return the fields that the rules find in the document, in the request's own form.

    A time becomes the day that it was in `zone`; a country's name its code; a text with `;` a list
    of categories. What is not found is left out.
    """
    found = {}
    for field, rule in rules.items():
        value = _converted(field, _value(rule, document), zone)
        if value is not None:
            found[field] = value
    return found


def search(path: str, document: Any) -> Any:
    """Return what the path finds, None where it does not fit the document."""
    try:
        return jmespath.search(path, document)
    except JMESPathError:
        return None


def _check_path(field: str, path: str) -> None:
    if len(path) > MAX_PATH:
        raise MappingError(field, f"has a path longer than {MAX_PATH} characters")
    try:
        jmespath.compile(path)
    except (JMESPathError, RecursionError, ValueError):
        raise MappingError(field, "has a path that is no JMESPath (https://jmespath.org)") from None


def _value(rule: Rule, document: Mapping[str, Any]) -> Any:
    if isinstance(rule, str):
        return search(rule, document)
    return rule["constant"] if rule is not None else None


def _converted(field: str, value: Any, zone: ZoneInfo) -> Any:
    """Return the value in the request's form; None for one that says nothing."""
    if field == "special_category":
        # Tools send their yes and no as text; whatever else it is, a person has to look at it.
        return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, bool) or value in (None, "", [], {}):
        # A path such as `a && b` answers false where nothing is found.
        return None
    if field in _DATES:
        return _day(value, zone)
    if field == "data_categories" and isinstance(value, str):
        return [part.strip() for part in value.replace(",", ";").split(";") if part.strip()]
    if isinstance(value, int | float):
        return str(value)
    if field == "contract.jurisdiction" and isinstance(value, str):
        return _country(value)
    return value.lower() if field == "contract.kind" and isinstance(value, str) else value


def _day(value: Any, zone: ZoneInfo) -> Any:
    """Return the day of a time: ISO 8601, or seconds or milliseconds since 1970 (UTC)."""
    try:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int | float):
            seconds = value / 1000 if abs(value) > 10**11 else value
            return datetime.fromtimestamp(seconds, zone).date().isoformat()
        if isinstance(value, str) and len(value) > len("2026-03-31"):
            moment = datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return aware.astimezone(zone).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return value
    return value.isoformat() if isinstance(value, date) else value


def _country(value: str) -> str:
    """Return the code of a country that is given by name; anything else as it is."""
    if len(value.strip()) == len("ES"):
        return value.strip().upper()
    try:
        return str(pycountry.countries.lookup(value.strip()).alpha_2)
    except LookupError:
        return value
