"""Property values as the engine holds them, and how they travel to and from a program.

A value is JSON-like, and may also be ``UNKNOWN``, a ``Secret`` or a ``ResourceReference``. On the
wire and in checkpoints the latter are objects with a signature
(https://github.com/pulumi/pulumi, sdk/go/common/resource/properties.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import struct_pb2

from engine.errors import UnsupportedError
from engine.provider import UNKNOWN, Properties

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker, not a secret
OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
REFERENCE_SIGNATURE = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWN_MARKER = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
MASK = "[secret]"

_UNSUPPORTED_SIGNATURES = {
    "c44067f5952c0a294b673a41bacd8c17": "an asset",
    "0def7320c3a5731c473e5ecbe6d01bc7": "an archive",
}
_EXACT_INTEGERS = 2**53
_PATH_ELEMENT = re.compile(r"""([^.\[\]"]+)(?![^\[]*\])|\[(\d+)\]|\["(.*?)"\]""")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is encrypted at rest and never shown."""

    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResourceReference:
    """A resource used as a value; ``id`` is None for a component."""

    urn: str
    id: Any
    package_version: str = ""


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Read the properties that a program sent. Raises UnsupportedError for assets."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_MARKER else value.string_value
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    if kind == "struct_value":
        return from_signed(from_struct(value.struct_value))
    return None


def _number(number: float) -> int | float:
    """JSON has one number type; whole numbers are kept as such, as Pulumi writes them."""
    if number.is_integer() and abs(number) < _EXACT_INTEGERS:
        return int(number)
    return number


def from_signed(item: Properties) -> Any:
    """Recognise a signed object (secret, output, reference); any other is returned as it is."""
    signature = item.get(SIGNATURE_KEY)
    if signature is None:
        return item
    if signature == SECRET_SIGNATURE:
        return Secret(item.get("value"))
    if signature == OUTPUT_SIGNATURE:
        value = item.get("value", UNKNOWN)
        return Secret(value) if item.get("secret") else value
    if signature == REFERENCE_SIGNATURE:
        version = item.get("packageVersion") or ""
        return ResourceReference(item["urn"], item.get("id"), version)
    raise UnsupportedError(_UNSUPPORTED_SIGNATURES.get(str(signature), f"value kind {signature}"))


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write properties for a program that accepts secrets and references."""
    struct = struct_pb2.Struct()
    _fill_struct(struct, properties)
    return struct


def _fill_struct(struct: struct_pb2.Struct, properties: Mapping[str, Any]) -> None:
    for key, item in properties.items():
        _fill_value(struct.fields[key], item)


def _fill_value(value: struct_pb2.Value, item: Any) -> None:
    if item is None:
        value.null_value = struct_pb2.NULL_VALUE
    elif item is UNKNOWN:
        value.string_value = UNKNOWN_MARKER
    elif isinstance(item, str):
        value.string_value = item
    elif isinstance(item, bool):
        value.bool_value = item
    elif isinstance(item, int | float):
        value.number_value = item
    elif isinstance(item, list | tuple):
        value.list_value.SetInParent()
        for element in item:
            _fill_value(value.list_value.values.add(), element)
    else:
        value.struct_value.SetInParent()
        _fill_struct(value.struct_value, _as_object(item))


def _as_object(item: Any) -> Mapping[str, Any]:
    if isinstance(item, Secret):
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": item.value}
    if isinstance(item, ResourceReference):
        return reference_object(item)
    return dict(item)


def reference_object(reference: ResourceReference) -> Properties:
    """The signed object of a resource reference."""
    item = {
        SIGNATURE_KEY: REFERENCE_SIGNATURE,
        "urn": reference.urn,
        "packageVersion": reference.package_version,
    }
    if reference.id is not None:
        item["id"] = reference.id
    return item


def plain(value: Any) -> Any:
    """Unwrap for a provider: secrets become their value, references an id (or a URN)."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, ResourceReference):
        if value.id is None:
            return value.urn
        return value.id or UNKNOWN
    return value


def masked(value: Any) -> Any:
    """Replace each secret by ``[secret]``, for anything that a person or a log may see."""
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, ResourceReference):
        return reference_object(value)
    return UNKNOWN_MARKER if value is UNKNOWN else value


def contains_unknown(value: Any) -> bool:
    """Whether anything in a value is not known yet."""
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    if isinstance(value, Secret):
        return contains_unknown(value.value)
    return value is UNKNOWN


def secret_strings(value: Any) -> Iterable[str]:
    """Every string inside a secret, so that it can be kept out of messages."""
    if isinstance(value, Secret):
        yield from _strings(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from secret_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from secret_strings(item)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, Secret):
        yield from _strings(value.value)


def with_secrets_of(values: Properties, like: Mapping[str, Any]) -> Properties:
    """Wrap what is secret in ``like`` also in ``values``, at the same place."""
    return {
        key: _wrap_like(item, like[key]) if key in like else item for key, item in values.items()
    }


def with_echoes_of(values: Properties, inputs: Mapping[str, Any]) -> Properties:
    """Wrap, wherever it stands in ``values``, a text that went in as a secret: a provider answers
    some inputs under a second name (``tags``, ``tagsAll``)."""
    secrets = {text for text in secret_strings(inputs) if text}
    return _wrap_echoes(values, secrets) if secrets else values


def _wrap_echoes(item: Any, secrets: set[str]) -> Any:
    if isinstance(item, dict):
        return {key: _wrap_echoes(value, secrets) for key, value in item.items()}
    if isinstance(item, list):
        return [_wrap_echoes(value, secrets) for value in item]
    return Secret(item) if isinstance(item, str) and item in secrets else item


def _wrap_like(item: Any, like: Any) -> Any:
    if isinstance(item, Secret):
        return item
    if isinstance(like, Secret):
        return Secret(plain(item))
    if isinstance(item, dict) and isinstance(like, dict):
        return with_secrets_of(item, like)
    if isinstance(item, list) and isinstance(like, list) and len(item) == len(like):
        return [_wrap_like(left, right) for left, right in zip(item, like, strict=True)]
    return item


def with_secret_keys(values: Properties, keys: Iterable[str]) -> Properties:
    """Wrap the named top-level properties, where present, as secrets."""
    wrapped = dict(values)
    for key in keys:
        if key in wrapped and not isinstance(wrapped[key], Secret):
            wrapped[key] = Secret(plain(wrapped[key]))
    return wrapped


def with_old_values(news: Properties, olds: Properties, paths: Iterable[str]) -> Properties:
    """Give the properties at ``paths`` (``tags``, ``tags.owner``, ``rules[0].days``) their old
    value, or take them away when there was none: the option ``ignore_changes``."""
    result = dict(news)
    for path in paths:
        if path == "*":
            return dict(olds)
        result = _with_old_value(result, olds, path_keys(path))
    return result


def path_keys(path: str) -> list[str | int]:
    """Split a property path into keys and indexes."""
    keys: list[str | int] = []
    for name, index, quoted in _PATH_ELEMENT.findall(path):
        keys.append(int(index) if index else name or quoted)
    return keys


def _with_old_value(news: Any, olds: Any, keys: list[str | int]) -> Any:
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        return _with_old_item(news, olds, key, rest)
    if not isinstance(news, dict):
        return news
    old_value = olds.get(key, _ABSENT) if isinstance(olds, dict) else _ABSENT
    result = dict(news)
    if rest:
        if key in result:
            result[key] = _with_old_value(result[key], old_value, rest)
    elif old_value is _ABSENT:
        result.pop(key, None)
    else:
        result[key] = old_value
    return result


def _with_old_item(news: Any, olds: Any, index: int, rest: list[str | int]) -> Any:
    if not isinstance(news, list) or not isinstance(olds, list):
        return news
    if index >= len(news) or index >= len(olds):
        return news
    result = list(news)
    result[index] = _with_old_value(news[index], olds[index], rest) if rest else olds[index]
    return result


_ABSENT = object()
