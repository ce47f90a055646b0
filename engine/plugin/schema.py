"""The schema of the package ``aws`` as far as this provider serves it.

Format: https://www.pulumi.com/docs/iac/extending-pulumi/schema/. The kind of a property is told by
its check, so that schema and check cannot disagree.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from typing import Any

from engine.aws.registry import TYPES
from engine.aws.resource import Property, Resource

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAP_OF_TEXT: Schema = {"type": "object", "additionalProperties": TEXT}
ANY_MAP: Schema = {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}}
# Outputs that only AWS knows are text, but for these.
COMPUTED: dict[str, Schema] = {
    "tagsAll": MAP_OF_TEXT,
    "attachmentCount": {"type": "integer"},
}
FUNCTIONS: dict[str, Schema] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "outputs": dict.fromkeys(("accountId", "arn", "id", "userId"), TEXT),
    },
    "aws:index/getRegion:getRegion": {
        "inputs": {"properties": {"region": TEXT}},
        "outputs": dict.fromkeys(("description", "endpoint", "id", "name", "region"), TEXT),
    },
}
CONFIGURATION: dict[str, Schema] = {
    **dict.fromkeys(("region", "profile"), TEXT),
    **{name: {**TEXT, "secret": True} for name in ("accessKey", "secretKey", "token")},
}


def package_version() -> str:
    """The version of ``pulumi_aws`` whose names and defaults this provider follows."""
    return version("pulumi-aws")


@cache
def package_schema() -> str:
    """The schema as JSON."""
    resources = {kind.type_name: resource_schema(kind) for kind in TYPES}
    return json.dumps(
        {
            "name": "aws",
            "version": package_version(),
            "config": {"variables": CONFIGURATION},
            "provider": {"inputProperties": CONFIGURATION, "type": "object"},
            "resources": resources,
            "functions": {token: _function(schema) for token, schema in FUNCTIONS.items()},
        },
        sort_keys=True,
    )


def resource_schema(kind: type[Resource]) -> Schema:
    """The schema of one resource type."""
    inputs = {name: property_schema(it) for name, it in kind.properties.items()}
    outputs = {**inputs, **{name: COMPUTED.get(name, TEXT) for name in kind.computed}}
    for name in kind.secret:
        outputs[name] = {**outputs[name], "secret": True}
    for name, it in kind.properties.items():
        if it.replaces:
            inputs[name] = {**inputs[name], "willReplaceOnChanges": True}
    required = sorted(name for name, it in kind.properties.items() if it.required)
    return {
        "description": (kind.__doc__ or "").strip(),
        "type": "object",
        "properties": outputs,
        "required": required,
        "inputProperties": inputs,
        "requiredInputs": required,
    }


def property_schema(property_: Property) -> Schema:
    """The schema of an input property: the first kind of value that its check takes."""
    found = next((kind for value, kind in _PROBES if property_.check(value) is None), TEXT)
    if property_.default is not None:
        return {**found, "default": property_.default}
    return dict(found)


# What takes none of these takes text. A list of maps goes before a list, a map of anything before
# a map of text; the one fixed map is that of S3's versioning.
_PROBES: tuple[tuple[Any, Schema], ...] = (
    (True, {"type": "boolean"}),
    ([{}], {"type": "array", "items": ANY_MAP}),
    ([], {"type": "array", "items": TEXT}),
    ({"a": {}}, ANY_MAP),
    ({}, MAP_OF_TEXT),
    ({"status": "Enabled"}, ANY_MAP),
)


def _function(schema: Schema) -> Schema:
    outputs = {"properties": schema["outputs"], "required": sorted(schema["outputs"])}
    return {
        "inputs": {"type": "object", **schema.get("inputs", {"properties": {}})},
        "outputs": {"type": "object", **outputs},
    }
