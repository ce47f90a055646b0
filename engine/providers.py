"""Provider resources of a stack and the provider objects behind them."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from engine.errors import UnsupportedError
from engine.properties import plain
from engine.provider import Properties, Provider, ProviderFactory
from engine.state import ResourceState
from engine.urn import PROVIDER_TYPE_PREFIX, make_urn, package_of, split_provider_reference

_ENGINE_KEY = "__internal"


def default_provider_name(version: str) -> str:
    """Name of the provider that the engine makes for a version of a package's SDK."""
    return f"default_{re.sub(r'[^0-9A-Za-z]', '_', version)}" if version else "default"


def default_provider_state(
    stack: str, project: str, package: str, version: str, config: Mapping[str, Any]
) -> ResourceState:
    """The state of a default provider; its inputs are the stack's configuration of the package.

    ``config`` maps full keys to values; those that are secret are wrapped.
    """
    type_ = PROVIDER_TYPE_PREFIX + package
    prefix = f"{package}:"
    inputs: Properties = {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }
    if version:
        inputs["version"] = version
    urn = make_urn(stack, project, "", type_, default_provider_name(version))
    return ResourceState(urn, type_, custom=True, id=str(uuid.uuid4()), inputs=inputs)


class ProviderRegistry:
    """Finds the provider object for a provider reference, making each at its first use."""

    def __init__(self, factory: ProviderFactory, environment: Mapping[str, str]) -> None:
        """``environment`` holds the credentials; they are never recorded."""
        self._factory = factory
        self._environment = environment
        self._states: dict[str, ResourceState] = {}
        self._providers: dict[str, Provider] = {}
        self._lock = threading.Lock()

    def add(self, state: ResourceState) -> str:
        """Make a provider resource known; returns its reference."""
        reference = f"{state.urn}::{state.id}"
        self._states[reference] = state
        return reference

    def state(self, reference: str) -> ResourceState | None:
        """The provider resource of a reference, if it is known."""
        return self._states.get(reference)

    def provider(self, reference: str, token: str) -> Provider:
        """The provider for a type or function token.

        Raises UnsupportedError for a package that is not served, ProviderError when the provider
        refuses its configuration.
        """
        with self._lock:
            provider = self._providers.get(reference)
            if provider is None:
                provider = self._factory(self._environment, self._inputs(reference))
                self._providers[reference] = provider
        if provider.package != package_of(token):
            raise UnsupportedError(f"the package '{package_of(token)}' ({token})")
        return provider

    def _inputs(self, reference: str) -> Properties:
        state = self._states.get(reference)
        if state is None:
            urn = split_provider_reference(reference)[0]
            state = next((known for known in self._states.values() if known.urn == urn), None)
        if state is None:
            raise UnsupportedError(f"the unknown provider {reference}")
        return settings_of(state)


def settings_of(state: ResourceState) -> Properties:
    """The settings of a provider resource, without what the official engine keeps beside them."""
    return {key: value for key, value in plain(state.inputs).items() if key != _ENGINE_KEY}


def region_differs(old: ResourceState | None, new: ResourceState | None) -> bool:
    """Whether resources of one provider cannot go on under the other: they lie elsewhere."""
    if old is None or new is None:
        return False
    return bool(plain(old.inputs.get("region")) != plain(new.inputs.get("region")))
