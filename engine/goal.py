"""What a program asks for: one resource, with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.durations import parse_duration
from engine.errors import EngineError, UnsupportedError
from engine.properties import from_struct
from engine.provider import Properties
from engine.urn import PROVIDER_TYPE_PREFIX


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name that a resource may be recorded under; None means "as it is now"."""

    urn: str = ""
    name: str | None = None
    type: str | None = None
    stack: str | None = None
    project: str | None = None
    parent_urn: str | None = None
    no_parent: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """A resource as the program wants it. Names follow Pulumi's resource options."""

    type: str
    name: str
    custom: bool
    inputs: Properties
    parent: str = ""
    provider: str = ""
    providers: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool | None = None
    retain_on_delete: bool | None = None
    delete_before_replace: bool | None = None
    ignore_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()
    import_id: str = ""
    custom_timeouts: Mapping[str, float] = field(default_factory=dict)


_UNSUPPORTED_OPTIONS = {
    "remote": "a component of another language (remote)",
    "replaceOnChanges": "the resource option replace_on_changes",
    "deletedWith": "the resource option deleted_with",
    "replace_with": "the resource option replace_with",
    "transforms": "the resource option transforms",
    "hideDiffs": "the resource option hide_diffs",
    "packageRef": "a parameterized package",
    "pluginDownloadURL": "the resource option plugin_download_url",
    "envVarMappings": "the resource option env_var_mappings",
    "state_migrations": "the resource option state_migrations",
}


def goal_from_request(request: Any) -> Goal:
    """Read a ``RegisterResourceRequest``. Raises UnsupportedError, EngineError."""
    _refuse_unsupported(request)
    provider_type = request.type.startswith(PROVIDER_TYPE_PREFIX)
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        inputs=_inputs(request, provider_type),
        parent=request.parent,
        provider=request.provider,
        providers=dict(request.providers),
        version=request.version.removeprefix("v"),
        dependencies=tuple(sorted(set(request.dependencies))),
        property_dependencies={
            key: tuple(sorted(set(value.urns)))
            for key, value in sorted(request.propertyDependencies.items())
        },
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        delete_before_replace=(
            request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None
        ),
        ignore_changes=tuple(request.ignoreChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=tuple(_alias(item) for item in request.aliases)
        + tuple(Alias(urn=urn) for urn in request.aliasURNs),
        import_id=request.importId,
        custom_timeouts=_timeouts(request),
    )


def _refuse_unsupported(request: Any) -> None:
    for name, described in _UNSUPPORTED_OPTIONS.items():
        if getattr(request, name, None):
            raise UnsupportedError(f"{request.type} '{request.name}': {described}")
    if request.HasField("replacement_trigger"):
        raise UnsupportedError(
            f"{request.type} '{request.name}': the resource option replacement_trigger"
        )
    if request.HasField("hooks") and request.hooks.ByteSize():
        raise UnsupportedError(f"{request.type} '{request.name}': the resource option hooks")


def _inputs(request: Any, provider_type: bool) -> Properties:
    try:
        inputs = from_struct(request.object)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{request.type} '{request.name}': a property that is not plain data ({error})"
        ) from error
    if provider_type and request.version:
        inputs.setdefault("version", request.version.removeprefix("v"))
    return inputs


def _alias(item: Any) -> Alias:
    if item.WhichOneof("alias") == "urn":
        return Alias(urn=item.urn)
    spec = item.spec
    which_parent = spec.WhichOneof("parent")
    return Alias(
        name=spec.name or None,
        type=spec.type or None,
        stack=spec.stack or None,
        project=spec.project or None,
        parent_urn=spec.parentUrn if which_parent == "parentUrn" else None,
        no_parent=which_parent == "noParent" and spec.noParent,
    )


def _timeouts(request: Any) -> dict[str, float]:
    timeouts = request.customTimeouts
    try:
        return {
            name: parse_duration(getattr(timeouts, name))
            for name in ("create", "update", "delete", "read")
            if getattr(timeouts, name)
        }
    except ValueError as error:
        raise EngineError(f"{request.type} '{request.name}': custom timeout: {error}") from error
