"""What an audit event may hold: ids, codes, numbers, times. Everything else is refused (RX-17).

An allow-list of shapes, because the chain is kept for ever and nothing in it can be erased: a
name or an address that once got in would stay.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_KEYS, MAX_ITEMS = 20, 50
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ACTION = re.compile(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)+")
_REQUEST_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,56}")
_IDS = (
    r"[0-9a-f]{32}",  # row id
    r"[A-Z0-9]{16,32}",  # AWS access key id
    r"T-050-003-\d{4}-\d{4,9}",  # record number
)
_CODES = (
    *_IDS,
    r"[0-9a-f]{64}",  # SHA-256
    r"\d{4}-\d{2}-\d{2}",  # date
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|\+00:00)",  # moment
    r"[a-z][a-z0-9]{0,23}([._:-][a-z0-9]{1,23}){0,5}",  # state, profile, scope, region, code
    r"aws:[A-Za-z.]{1,60}",  # error code of AWS
    r"JD-\d{3}",  # job description
    r"git:[0-9a-f]{40}([0-9a-f]{24})?",  # commit; with its prefix, as bare it has a secret's length
)
_ID = re.compile("|".join(f"(?:{shape})" for shape in _IDS))
_CODE = re.compile("|".join(f"(?:{shape})" for shape in _CODES))


class AuditValueError(ValueError):
    """Something that is neither an id nor a code was to go into the audit chain.

    The message names the field, not the value: the value may be the very name or secret that
    has no business there.
    """


@dataclass(frozen=True)
class AuditEntry:
    """What is to be appended to the chain. `action` is like `client.opened`; the rest are ids.

    No names, no e-mail addresses, no slugs, no secrets, no free text: refer to the row that has
    them. `source_ip` is the caller's address, `request_id` one that the service has made.
    """

    actor_id: str
    action: str
    object_type: str
    object_id: str
    client_id: str | None = None
    source_ip: str | None = None
    request_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def check_entry(entry: AuditEntry) -> None:
    """Raise AuditValueError unless every field is of a permitted shape."""
    _match(_ID, entry.actor_id, "actor_id")
    _match(_ACTION, entry.action, "action")
    _match(_NAME, entry.object_type, "object_type")
    _match(_ID, entry.object_id, "object_id")
    if entry.client_id is not None:
        _match(_ID, entry.client_id, "client_id")
    if entry.request_id is not None:
        _match(_REQUEST_ID, entry.request_id, "request_id")
    if entry.source_ip is not None:
        _check_address(entry.source_ip)
    check_data(entry.data)


def check_data(data: Mapping[str, Any]) -> None:
    """Raise AuditValueError unless every value is an id, a code, a number or a list of those."""
    if len(data) > MAX_KEYS:
        raise AuditValueError(f"data has more than {MAX_KEYS} keys.")
    for key, value in data.items():
        _match(_NAME, key, "a key of data")
        _check_value(value, f"data[{key!r}]")


def _check_value(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        # Beyond this JSON readers disagree about the digits, and so about the hash.
        if abs(value) >= 2**53:
            raise AuditValueError(f"{where} is too large a number.")
        return
    if isinstance(value, list):
        _check_items(value, where)
        return
    _match(_CODE, value, where)


def _check_items(items: list[Any], where: str) -> None:
    if len(items) > MAX_ITEMS or any(isinstance(item, list) for item in items):
        raise AuditValueError(f"{where} is a list of lists or has more than {MAX_ITEMS} items.")
    for item in items:
        _check_value(item, where)


def _match(shape: re.Pattern[str], value: Any, where: str) -> None:
    if not isinstance(value, str) or not value.isascii() or not shape.fullmatch(value):
        raise AuditValueError(
            f"{where} of an audit event must be an id or a code, not free text: "
            "refer to the row that holds the text."
        )


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise AuditValueError("source_ip of an audit event is not an IP address.") from None
