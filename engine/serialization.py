"""Resources to and from the JSON of checkpoints: apitype.ResourceV3 of the official program."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from engine.properties import (
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    UNKNOWN_MARKER,
    ResourceReference,
    Secret,
    from_signed,
    reference_object,
)
from engine.provider import UNKNOWN, Properties
from engine.state import ResourceState

Encrypt = Callable[[str], str]
Decrypt = Callable[[str], str]


class Secrets(Protocol):
    """What a checkpoint needs to keep secrets: see ``engine.secrets``."""

    type: str
    state: str

    def encrypt(self, plaintext: str) -> str: ...

    def decrypt(self, ciphertext: str) -> str: ...


def dumps(value: Any) -> str:
    """Compact JSON, as the official program writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_TEXT_FIELDS = {
    "urn": "urn",
    "type": "type",
    "id": "id",
    "parent": "parent",
    "provider": "provider",
    "import_id": "importID",
    "created": "created",
    "modified": "modified",
}
_FLAG_FIELDS = {
    "delete": "delete",
    "protect": "protect",
    "external": "external",
    "pending_replacement": "pendingReplacement",
    "retain_on_delete": "retainOnDelete",
}
_LIST_FIELDS = {
    "dependencies": "dependencies",
    "init_errors": "initErrors",
    "additional_secret_outputs": "additionalSecretOutputs",
    "ignore_changes": "ignoreChanges",
}
_OTHER_FIELDS = {"custom", "inputs", "outputs", "propertyDependencies", "customTimeouts"}
_KNOWN_FIELDS = {
    *_TEXT_FIELDS.values(),
    *_FLAG_FIELDS.values(),
    *_LIST_FIELDS.values(),
    *_OTHER_FIELDS,
}


def resource_to_json(state: ResourceState, encrypt: Encrypt | None) -> Properties:
    """A resource as checkpoints hold it; ``encrypt`` None writes secrets in plain."""
    item: Properties = {"urn": state.urn, "custom": state.custom}
    for field, key in (*_TEXT_FIELDS.items(), *_FLAG_FIELDS.items()):
        value = getattr(state, field)
        if value:
            item[key] = value
    for field, key in _LIST_FIELDS.items():
        value = getattr(state, field)
        if value:
            item[key] = list(value)
    if state.inputs:
        item["inputs"] = _value_to_json(state.inputs, encrypt)
    if state.outputs:
        item["outputs"] = _value_to_json(state.outputs, encrypt)
    if state.property_dependencies:
        item["propertyDependencies"] = {
            key: list(urns) for key, urns in state.property_dependencies.items()
        }
    if state.custom_timeouts:
        item["customTimeouts"] = dict(state.custom_timeouts)
    return {**item, **state.extra}


def resource_from_json(item: Properties, secrets: Secrets) -> ResourceState:
    """Read a resource. Raises ValueError, KeyError or TypeError when it is malformed."""
    fields: Properties = {field: _typed(item, key, str, "") for field, key in _TEXT_FIELDS.items()}
    fields |= {field: _typed(item, key, bool, False) for field, key in _FLAG_FIELDS.items()}
    fields |= {field: _texts(key, item.get(key)) for field, key in _LIST_FIELDS.items()}
    if not fields["urn"] or not fields["type"]:
        raise ValueError("a resource has no urn or no type")
    dependencies = _typed(item, "propertyDependencies", dict, {})
    timeouts = _typed(item, "customTimeouts", dict, {})
    return ResourceState(
        custom=_typed(item, "custom", bool, None),
        inputs=_value_from_json(_typed(item, "inputs", dict, {}), secrets.decrypt),
        outputs=_value_from_json(_typed(item, "outputs", dict, {}), secrets.decrypt),
        property_dependencies={key: _texts(key, urns) for key, urns in dependencies.items()},
        custom_timeouts={key: float(seconds) for key, seconds in timeouts.items()},
        extra={key: value for key, value in item.items() if key not in _KNOWN_FIELDS},
        **fields,
    )


def _typed(item: Properties, key: str, kind: type, default: Any) -> Any:
    """A field of a resource, which may be left out unless there is no default for it."""
    value = item.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind):
        raise TypeError(f"the field {key} of a resource is a {type(value).__name__}")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"the field {key} of a resource is no list of texts")
    return tuple(value)


def _value_to_json(value: Any, encrypt: Encrypt | None) -> Any:
    if isinstance(value, dict):
        return {key: _value_to_json(item, encrypt) for key, item in value.items()}
    if isinstance(value, list):
        return [_value_to_json(item, encrypt) for item in value]
    if isinstance(value, Secret):
        text = dumps(_value_to_json(_without_inner_secrets(value.value), None))
        hidden = {"plaintext": text} if encrypt is None else {"ciphertext": encrypt(text)}
        return {SIGNATURE_KEY: SECRET_SIGNATURE, **hidden}
    if isinstance(value, ResourceReference):
        return reference_object(value)
    return UNKNOWN_MARKER if value is UNKNOWN else value


def _without_inner_secrets(value: Any) -> Any:
    if isinstance(value, Secret):
        return _without_inner_secrets(value.value)
    if isinstance(value, dict):
        return {key: _without_inner_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_inner_secrets(item) for item in value]
    return value


def _value_from_json(value: Any, decrypt: Decrypt) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return _secret_from_json(value, decrypt)
        return from_signed({key: _value_from_json(item, decrypt) for key, item in value.items()})
    if isinstance(value, list):
        return [_value_from_json(item, decrypt) for item in value]
    return UNKNOWN if value == UNKNOWN_MARKER else value


def _secret_from_json(item: Properties, decrypt: Decrypt) -> Secret:
    ciphertext, plaintext = item.get("ciphertext"), item.get("plaintext")
    if bool(ciphertext) == bool(plaintext):
        raise ValueError("a secret needs either a ciphertext or a plaintext")
    text = plaintext if plaintext else decrypt(str(ciphertext))
    # The official program does not encrypt again what is secret inside a secret.
    return Secret(_value_from_json(json.loads(text), str))
