"""``ResourceProvider``: the calls of Pulumi's provider protocol, answered by a Provider.

Source: https://www.pulumi.com/docs/iac/extending-pulumi/provider-protocol/ and
github.com/pulumi/pulumi, proto/pulumi/provider.proto.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from engine.aws.provider import PROVIDER_INPUTS
from engine.errors import UnsupportedError
from engine.plugin.messages import (
    PluginError,
    check_response,
    diff_response,
    half_made,
    readable_inputs,
)
from engine.plugin.schema import package_schema, package_version
from engine.properties import (
    from_struct,
    plain,
    to_struct,
    with_echoes_of,
    with_secret_keys,
    with_secrets_of,
)
from engine.provider import (
    UNKNOWN,
    CheckFailure,
    Diff,
    Properties,
    Provider,
    ProviderError,
    ProviderFactory,
)
from engine.urn import parse_urn

_messages: Any = provider_pb2


class ProviderService:
    """Methods are those of the protocol; each takes a request and returns a response.

    Raises PluginError. Safe to call from many threads.
    """

    def __init__(self, factory: ProviderFactory, environment: Mapping[str, str]) -> None:
        """``environment`` holds the credentials."""
        self._factory = factory
        self._environment = environment
        self._provider: Provider | None = None
        self._tells_secrets = True
        self._cancelled = threading.Event()

    def Handshake(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Say what of the protocol is understood."""
        return _messages.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def GetPluginInfo(self, request: Any) -> Any:  # noqa: N802, ARG002
        """The version of the official package whose names it follows."""
        messages: Any = plugin_pb2
        return messages.PluginInfo(version=package_version())

    def GetSchema(self, request: Any) -> Any:  # noqa: N802
        """The types that are served."""
        if request.version:
            raise PluginError(
                grpc.StatusCode.INVALID_ARGUMENT, f"unsupported schema version {request.version}"
            )
        return _messages.GetSchemaResponse(schema=package_schema())

    def GetMapping(self, request: Any) -> Any:  # noqa: N802, ARG002
        """None."""
        return _messages.GetMappingResponse()

    def GetMappings(self, request: Any) -> Any:  # noqa: N802, ARG002
        """None."""
        return _messages.GetMappingsResponse()

    def CheckConfig(self, request: Any) -> Any:  # noqa: N802
        """Name the settings of a provider resource that are not understood."""
        news, failures = readable_inputs(request.news)
        failures += [
            CheckFailure(name, "is not supported: leave it out, or use the official AWS plugin")
            for name in news
            if name not in PROVIDER_INPUTS
        ]
        return check_response(news, failures)

    def DiffConfig(self, request: Any) -> Any:  # noqa: N802
        """Another region is another place: what lies there has to be made anew."""
        olds = from_struct(request.old_inputs if request.HasField("old_inputs") else request.olds)
        news = from_struct(request.news)
        old, new = plain(olds), plain(news)
        names = {*old, *new} - {"version"}
        changed = tuple(sorted(name for name in names if old.get(name) != new.get(name)))
        replaces = ("region",) if "region" in changed else ()
        return diff_response(Diff(bool(changed), replaces, False, changed), old, new)

    def Configure(self, request: Any) -> Any:  # noqa: N802
        """Make the provider ready; the credentials come from the environment."""
        inputs: Properties = plain(from_struct(request.args))
        self._tells_secrets = request.acceptSecrets
        try:
            self._provider = self._factory(self._environment, inputs)
        except ProviderError as error:
            raise _failed(error) from error
        return _messages.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True
        )

    def Check(self, request: Any) -> Any:  # noqa: N802
        """Complete the inputs of a resource, and say per property what is wrong."""
        news, failures = readable_inputs(request.news)
        olds = plain(from_struct(request.olds))
        try:
            checked, wrong = self._ready().check(_type(request), plain(news), olds, urn=request.urn)
        except ProviderError as error:
            raise _failed(error) from error
        return check_response(self._told(with_secrets_of(checked, news)), [*failures, *wrong])

    def Diff(self, request: Any) -> Any:  # noqa: N802
        """What changing to new inputs would mean."""
        old_inputs, outputs = _recorded(request, request.olds)
        news = plain(_values(request.news))
        try:
            diff = self._ready().diff(
                _type(request), request.id, old_inputs, outputs, news, tuple(request.ignoreChanges)
            )
        except ProviderError as error:
            raise _failed(error) from error
        return diff_response(diff, old_inputs, news)

    def Create(self, request: Any) -> Any:  # noqa: N802
        """Make the resource; in a preview, foretell it."""
        provider, type_ = self._acting(preview=request.preview), _type(request)
        inputs = _values(request.properties)
        if request.preview:
            outputs = provider.preview_outputs(type_, plain(inputs))
            return _messages.CreateResponse(properties=self._outputs(type_, outputs, inputs))
        timeout = request.timeout or None
        try:
            id_, outputs = provider.create(type_, plain(inputs), urn=request.urn, timeout=timeout)
        except ProviderError as error:
            raise self._failed_act(error, type_, inputs, "") from error
        return _messages.CreateResponse(id=id_, properties=self._outputs(type_, outputs, inputs))

    def Read(self, request: Any) -> Any:  # noqa: N802
        """The resource as AWS holds it; an empty answer when it is gone."""
        inputs, outputs = _values(request.inputs), _values(request.properties)
        type_ = _type(request)
        try:
            read = self._ready().read(type_, request.id, plain(inputs), plain(outputs))
        except ProviderError as error:
            raise _failed(error) from error
        if read is None:
            return _messages.ReadResponse()
        id_, new_inputs, new_outputs = read
        return _messages.ReadResponse(
            id=id_,
            inputs=to_struct(self._told(with_secrets_of(new_inputs, inputs))),
            properties=self._outputs(type_, new_outputs, {**outputs, **inputs}),
        )

    def Update(self, request: Any) -> Any:  # noqa: N802
        """Change the resource in place; in a preview, foretell it."""
        provider, type_ = self._acting(preview=request.preview), _type(request)
        old_inputs, old_outputs = _recorded(request, request.olds)
        news = _values(request.news)
        if request.preview:
            outputs = _foretold(provider.preview_outputs(type_, plain(news)), old_outputs)
            return _messages.UpdateResponse(properties=self._outputs(type_, outputs, news))
        timeout = request.timeout or None
        try:
            outputs = provider.update(
                type_, request.id, old_inputs, old_outputs, plain(news), timeout=timeout
            )
        except ProviderError as error:
            raise self._failed_act(error, type_, _values(request.old_inputs), request.id) from error
        return _messages.UpdateResponse(properties=self._outputs(type_, outputs, news))

    def Delete(self, request: Any) -> Any:  # noqa: N802
        """Delete the resource; one that is gone counts as deleted."""
        inputs, outputs = _recorded(request, request.properties)
        timeout = request.timeout or None
        try:
            self._acting().delete(_type(request), request.id, inputs, outputs, timeout=timeout)
        except ProviderError as error:
            raise _failed(error) from error
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Call a function of the package."""
        try:
            result = self._ready().invoke(request.tok, plain(_values(request.args)))
        except ProviderError as error:
            raise _failed(error) from error
        answer: dict[str, Any] = {"return": to_struct(result)}
        return _messages.InvokeResponse(**answer)

    def Cancel(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Begin no further act; an AWS call that was begun ends by itself."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def _ready(self) -> Provider:
        if self._provider is None:
            raise PluginError(grpc.StatusCode.FAILED_PRECONDITION, "Configure was not called yet")
        return self._provider

    def _acting(self, *, preview: bool = False) -> Provider:
        if self._cancelled.is_set() and not preview:
            raise PluginError(grpc.StatusCode.CANCELLED, "the update was cancelled")
        return self._ready()

    def _told(self, values: Properties) -> Properties:
        """Secrets are marked, unless the engine could not keep them apart."""
        told: Properties = values if self._tells_secrets else plain(values)
        return told

    def _outputs(self, type_: str, outputs: Properties, like: Properties) -> Any:
        """What went in secret comes out secret, and so does what is always secret."""
        return to_struct(self._told(self._marked(type_, outputs, like)))

    def _marked(self, type_: str, outputs: Properties, like: Properties) -> Properties:
        always = self._ready().secret_outputs(type_)
        return with_secret_keys(with_echoes_of(with_secrets_of(outputs, like), like), always)

    def _failed_act(
        self, error: ProviderError, type_: str, inputs: Properties, id_: str
    ) -> PluginError:
        if error.partial is None:
            return _failed(error)
        made_id, outputs = error.partial
        marked = self._told(self._marked(type_, outputs, inputs))
        return half_made(made_id or id_, marked, self._told(inputs), str(error))


def _type(request: Any) -> str:
    return parse_urn(request.urn).type


def _values(struct: Any) -> Properties:
    try:
        return from_struct(struct)
    except UnsupportedError as error:
        raise PluginError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _recorded(request: Any, outputs: Any) -> tuple[Properties, Properties]:
    """Recorded inputs and outputs; an engine that sends no inputs is taken at its outputs."""
    known = plain(_values(outputs))
    return (plain(_values(request.old_inputs)) if request.HasField("old_inputs") else known), known


def _foretold(outputs: Properties, olds: Properties) -> Properties:
    """What only AWS knows stays as it was in an update in place."""
    return {
        key: olds[key] if value is UNKNOWN and key in olds else value
        for key, value in {**olds, **outputs}.items()
    }


def _failed(error: ProviderError) -> PluginError:
    return PluginError(grpc.StatusCode.UNKNOWN, str(error))
