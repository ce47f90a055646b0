"""What the engine asks of a resource provider.

A provider knows one package of resource types (``aws``). It works on plain JSON-like property
values: ``None``, ``bool``, ``int``, ``float``, ``str``, ``list`` and ``dict``. Secrets are
unwrapped before a provider sees them and wrapped again around what it answers. In a preview a value
may be ``UNKNOWN``: it will be known only once something else has been made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol


class _Unknown(Enum):
    """Type of the one value that stands for "not known yet" (an enum, so that it stays one)."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = _Unknown.UNKNOWN

Properties = dict[str, Any]


@dataclass(frozen=True)
class CheckFailure:
    """One input property that cannot be used, and why. ``reason`` must not hold the value."""

    property: str
    reason: str


@dataclass(frozen=True)
class Diff:
    """What changing a resource from its recorded state to new inputs would mean.

    ``replaces`` names the top-level properties that can only change with a new resource;
    ``diffs`` names all top-level properties that change.
    """

    changes: bool
    replaces: tuple[str, ...] = ()
    delete_before_replace: bool = False
    diffs: tuple[str, ...] = ()


class ProviderError(Exception):
    """A provider could not do what was asked.

    ``code`` is the service's own error code (``AccessDenied``). ``retryable`` says that the
    outcome is not known or that the same call may succeed later. ``partial`` holds the id and
    the outputs of a resource that was made but not completely; it is recorded and finished by
    the next update.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        partial: tuple[str, Properties] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable
        self.partial = partial


class Provider(Protocol):
    """The life cycle of the resource types of one package.

    Every method may be called from several threads at once. Timeouts are seconds.
    """

    package: str

    def check(
        self, type_: str, news: Properties, olds: Properties, *, urn: str
    ) -> tuple[Properties, list[CheckFailure]]:
        """Complete ``news`` with defaults and generated names, and say what is wrong with it.

        ``olds`` holds the inputs recorded before (empty for a new resource), so that a generated
        name stays. Must not call the service.
        """

    def diff(
        self,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        """Compare the recorded state with checked inputs. Must not call the service."""

    def create(
        self, type_: str, inputs: Properties, *, urn: str, timeout: float | None
    ) -> tuple[str, Properties]:
        """Make the resource; answer its id and outputs. Raises ProviderError."""

    def read(
        self, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Answer id, inputs and outputs as the service holds them, or None when it is gone.

        ``inputs`` is empty when a resource is imported or looked up. Raises ProviderError.
        """

    def update(
        self,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        *,
        timeout: float | None,
    ) -> Properties:
        """Change the resource in place; answer its outputs. Raises ProviderError."""

    def delete(
        self,
        type_: str,
        id_: str,
        inputs: Properties,
        outputs: Properties,
        *,
        timeout: float | None,
    ) -> None:
        """Delete the resource; one that is already gone counts as deleted. Raises ProviderError."""

    def invoke(self, token: str, args: Properties) -> Properties:
        """Call a function of the package. Raises ProviderError."""

    def secret_outputs(self, type_: str) -> frozenset[str]:
        """Name the outputs of a type that are always secret."""

    def preview_outputs(self, type_: str, inputs: Properties) -> Properties:
        """Foretell the outputs of a resource that is to be made; UNKNOWN where nobody can."""


ProviderFactory = Callable[[Mapping[str, str], Mapping[str, Any]], Provider]
"""Makes a provider from (environment variables, inputs of the provider resource).

Raises ProviderError, for instance when the environment points at a real account that may not be
touched.
"""
