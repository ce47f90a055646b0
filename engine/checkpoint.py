"""Checkpoint files: Pulumi's deployment format, version 3, to and from a ``Snapshot``.

Source: github.com/pulumi/pulumi, sdk/go/common/apitype/core.go and pkg/resource/stack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi._version

from engine.errors import CheckpointError
from engine.provider import Properties
from engine.serialization import Secrets, dumps, resource_from_json, resource_to_json
from engine.state import PendingOperation, ResourceState, Snapshot, timestamp
from engine.urn import is_provider_type, parse_urn, split_provider_reference

VERSION = 3
PROGRAM_VERSION = f"v{pulumi._version.version}"
_MAGIC = hashlib.sha256(PROGRAM_VERSION.encode()).hexdigest()
_FEATURE_VERSION = 4


OpenSecrets = Callable[[Mapping[str, Any] | None], Secrets]
"""Gives the secrets for the ``secrets_providers`` entry of a deployment (None: there is none)."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A snapshot with the secrets it is encrypted under."""

    snapshot: Snapshot
    secrets: Secrets


class CheckpointEncoder:
    """Writes checkpoints of one stack; remembers the text of resources that did not change."""

    def __init__(self, stack: str, secrets: Secrets) -> None:
        """``stack`` is the full name, ``organization/<project>/<stack>``."""
        self._stack = stack
        self._secrets = secrets
        self._texts: dict[ResourceState, str] = {}

    def encode(self, snapshot: Snapshot) -> bytes:
        """The checkpoint file of a snapshot."""
        texts = {state: self._text(state) for state in snapshot.resources}
        operations = [
            f'{{"resource":{self._text(operation.resource)},"type":{dumps(operation.type)}}}'
            for operation in snapshot.pending_operations
        ]
        self._texts = texts
        latest = [f'"manifest":{dumps(_manifest())}']
        latest.append(f'"secrets_providers":{dumps(secrets_entry(self._secrets))}')
        if texts:
            latest.append(f'"resources":[{",".join(texts.values())}]')
        if operations:
            latest.append(f'"pending_operations":[{",".join(operations)}]')
        latest.append(f'"metadata":{dumps(dict(snapshot.metadata))}')
        stack = dumps(self._stack)
        return (
            f'{{"version":{VERSION},"checkpoint":'
            f'{{"stack":{stack},"latest":{{{",".join(latest)}}}}}}}'
        ).encode()

    def _text(self, state: ResourceState) -> str:
        text = self._texts.get(state)
        return text if text is not None else dumps(resource_to_json(state, self._secrets.encrypt))


def secrets_entry(secrets: Secrets) -> Properties:
    """The ``secrets_providers`` entry of a deployment."""
    return {"type": secrets.type, "state": {"salt": secrets.state}}


def export_deployment(snapshot: Snapshot, secrets: Secrets, *, show_secrets: bool) -> Properties:
    """A deployment as ``pulumi stack export`` prints it."""
    encrypt = None if show_secrets else secrets.encrypt
    deployment: Properties = {
        "manifest": _manifest(),
        "secrets_providers": secrets_entry(secrets),
        "resources": [resource_to_json(state, encrypt) for state in snapshot.resources],
        "pending_operations": [
            {"resource": resource_to_json(operation.resource, encrypt), "type": operation.type}
            for operation in snapshot.pending_operations
        ],
        "metadata": dict(snapshot.metadata),
    }
    return {"version": VERSION, "deployment": deployment}


def _manifest() -> Properties:
    return {"time": timestamp(), "magic": _MAGIC, "version": PROGRAM_VERSION}


def decode_checkpoint(data: bytes, where: str, open_secrets: OpenSecrets) -> Deployment:
    """Read a checkpoint file. ``where`` names it in errors. Raises CheckpointError."""
    document = _parse(data, where)
    checkpoint = document.get("checkpoint")
    if not isinstance(checkpoint, dict):
        raise _corrupt(where, "it holds no checkpoint")
    _require_version(document, where)
    return decode_deployment(checkpoint.get("latest") or {}, where, open_secrets)


def decode_export(data: bytes, where: str, open_secrets: OpenSecrets) -> Deployment:
    """Read what ``stack export`` printed. Raises CheckpointError."""
    document = _parse(data, where)
    _require_version(document, where)
    return decode_deployment(document.get("deployment") or {}, where, open_secrets)


def decode_deployment(latest: Any, where: str, open_secrets: OpenSecrets) -> Deployment:
    """Read a deployment of version 3. Raises CheckpointError."""
    try:
        secrets = open_secrets(latest.get("secrets_providers"))
        resources = tuple(
            resource_from_json(item, secrets) for item in latest.get("resources") or ()
        )
        pending = tuple(
            PendingOperation(str(item["type"]), resource_from_json(item["resource"], secrets))
            for item in latest.get("pending_operations") or ()
        )
        _verify_manifest(latest.get("manifest"))
        for state in (*resources, *(operation.resource for operation in pending)):
            _verify_resource(state)
        _verify_order(resources)
        metadata = dict(latest.get("metadata") or {})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _corrupt(where, f"{type(error).__name__}: {error}") from error
    return Deployment(Snapshot(resources, pending, "", metadata), secrets)


def _parse(data: bytes, where: str) -> Properties:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _corrupt(where, str(error)) from error
    if not isinstance(document, dict):
        raise _corrupt(where, "it is not a JSON object")
    return document


def _require_version(document: Properties, where: str) -> None:
    version = document.get("version")
    if version == _FEATURE_VERSION and not document.get("features"):
        return
    if version == VERSION:
        return
    features = ", ".join(document.get("features") or ()) or "none named"
    raise CheckpointError(
        f"the checkpoint {where} has version {version!r} (features: {features}); this engine "
        f"reads version {VERSION}. It was left untouched: use the official `pulumi` program, or "
        "a newer release of this one"
    )


def _corrupt(where: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint {where} is corrupt ({reason}). It was left untouched: restore a backup"
    )


def _verify_manifest(manifest: Any) -> None:
    if not manifest:
        return
    version = manifest.get("version") or ""
    if version and manifest.get("magic") != hashlib.sha256(version.encode()).hexdigest():
        raise ValueError("the manifest's magic does not match its version")


def _verify_resource(state: ResourceState) -> None:
    """Each resource must have the name of its type, and if a provider's, a provider."""
    if parse_urn(state.urn).type != state.type:
        raise ValueError(f"{state.urn} has the type {state.type}")
    if state.parent:
        parse_urn(state.parent)
    if state.provider:
        split_provider_reference(state.provider)
    elif state.custom and not is_provider_type(state.type):
        raise ValueError(f"{state.urn} names no provider")
    if not isinstance(state.inputs, dict) or not isinstance(state.outputs, dict):
        raise TypeError(f"{state.urn} has properties that are no mapping")


def _verify_order(resources: tuple[ResourceState, ...]) -> None:
    """Each resource must come after everything it refers to."""
    seen: set[str] = set()
    current: set[str] = set()
    for state in resources:
        missing = state.references() - seen
        if missing:
            raise ValueError(f"{state.urn} refers to {sorted(missing)[0]}, which is not before it")
        if not state.delete and state.urn in current:
            raise ValueError(f"{state.urn} is recorded twice")
        if not state.custom and state.id:
            raise ValueError(f"{state.urn} is a component with an id")
        seen.add(state.urn)
        if not state.delete:
            current.add(state.urn)
