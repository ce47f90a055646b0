"""Values and answers of the provider in the protocol's own messages.

Source: github.com/pulumi/pulumi, proto/pulumi/provider.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import grpc
from google.protobuf import any_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from engine.errors import UnsupportedError
from engine.properties import from_struct, to_struct
from engine.provider import CheckFailure, Diff, Properties

_DETAILS_KEY = "grpc-status-details-bin"


class PluginError(Exception):
    """A call that fails: a status code, a sentence, and where needed the details of a failure."""

    def __init__(self, code: grpc.StatusCode, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


class Status(NamedTuple):
    """What ``ServicerContext.abort_with_status`` takes (``grpc.Status``)."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def status_of(error: PluginError) -> Status:
    """The gRPC status of an error; details travel as ``google.rpc.Status``."""
    if error.detail is None:
        return Status(error.code, error.message, ())
    packed = any_pb2.Any()
    packed.Pack(error.detail)
    code: int = error.code.value[0]
    messages: Any = status_pb2
    rich = messages.Status(code=code, message=error.message, details=[packed])
    return Status(error.code, error.message, ((_DETAILS_KEY, rich.SerializeToString()),))


def half_made(id_: str, outputs: Properties, inputs: Properties, reason: str) -> PluginError:
    """The error for a resource that is there but not finished; the engine records and mends it."""
    messages: Any = provider_pb2
    detail = messages.ErrorResourceInitFailed(
        id=id_, properties=to_struct(outputs), inputs=to_struct(inputs), reasons=[reason]
    )
    return PluginError(grpc.StatusCode.UNKNOWN, reason, detail)


def readable_inputs(struct: struct_pb2.Struct) -> tuple[Properties, list[CheckFailure]]:
    """Properties one by one: what cannot be read (an asset, say) fails under its own name."""
    values: Properties = {}
    failures: list[CheckFailure] = []
    for name, value in struct.fields.items():
        try:
            values |= from_struct(struct_pb2.Struct(fields={name: value}))
        except UnsupportedError as error:
            failures.append(CheckFailure(name, str(error)))
    return values, failures


def check_response(inputs: Properties, failures: Iterable[CheckFailure]) -> Any:
    """``CheckResponse``."""
    messages: Any = provider_pb2
    return messages.CheckResponse(
        inputs=to_struct(inputs),
        failures=[messages.CheckFailure(property=it.property, reason=it.reason) for it in failures],
    )


def diff_response(diff: Diff, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Any:
    """``DiffResponse`` with a detailed diff; ``olds`` and ``news`` are inputs."""
    messages: Any = provider_pb2
    kinds = messages.DiffResponse
    names = dict.fromkeys((*diff.diffs, *diff.replaces))
    return messages.DiffResponse(
        changes=kinds.DIFF_SOME if diff.changes else kinds.DIFF_NONE,
        replaces=diff.replaces,
        diffs=tuple(names),
        deleteBeforeReplace=diff.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            name: messages.PropertyDiff(
                kind=_kind(name in olds, name in news, replaces=name in diff.replaces),
                inputDiff=True,
            )
            for name in names
        },
    )


def _kind(before: bool, after: bool, *, replaces: bool) -> int:
    name = "UPDATE" if before == after else "ADD" if after else "DELETE"
    messages: Any = provider_pb2
    kind: int = messages.PropertyDiff.Kind.Value(f"{name}_REPLACE" if replaces else name)
    return kind
