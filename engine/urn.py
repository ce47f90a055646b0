"""Uniform resource names: ``urn:pulumi:<stack>::<project>::<type chain>::<name>``.

See https://www.pulumi.com/docs/iac/concepts/resources/names/#urns.
"""

from __future__ import annotations

from typing import NamedTuple

ROOT_STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_TYPE_PREFIX = "pulumi:providers:"
_PREFIX = "urn:pulumi:"


class UrnParts(NamedTuple):
    """The parts of a URN; ``qualified_type`` is the chain of types from the outermost parent."""

    stack: str
    project: str
    qualified_type: str
    name: str

    @property
    def type(self) -> str:
        """Type of the resource itself, without its parents' types."""
        return self.qualified_type.rsplit("$", 1)[-1]


def parse_urn(urn: str) -> UrnParts:
    """Split a URN. Raises ValueError when it is not one."""
    parts = urn.removeprefix(_PREFIX).split("::", 3)
    if not urn.startswith(_PREFIX) or len(parts) != 4:
        raise ValueError(f"malformed URN {urn!r}")
    return UrnParts(*parts)


def make_urn(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """Build the URN of a resource; ``parent`` is a URN or empty."""
    chain = ""
    if parent:
        parent_type = parse_urn(parent).qualified_type
        if parent_type != ROOT_STACK_TYPE:
            chain = f"{parent_type}$"
    return f"{_PREFIX}{stack}::{project}::{chain}{type_}::{name}"


def package_of(token: str) -> str:
    """Package of a type or function token: ``aws`` for ``aws:iam/user:User``."""
    if token.startswith(PROVIDER_TYPE_PREFIX):
        return token.removeprefix(PROVIDER_TYPE_PREFIX)
    return token.split(":", 1)[0]


def is_provider_type(type_: str) -> bool:
    """Whether a resource of this type is a provider."""
    return type_.startswith(PROVIDER_TYPE_PREFIX)


def is_default_provider(urn: str) -> bool:
    """Whether a URN is that of a provider the engine made by itself."""
    parts = parse_urn(urn)
    is_default = parts.name == "default" or parts.name.startswith("default_")
    return is_provider_type(parts.type) and is_default


def split_provider_reference(reference: str) -> tuple[str, str]:
    """Split ``<urn>::<id>`` into URN and id. Raises ValueError when it is not a reference."""
    urn, separator, id_ = reference.rpartition("::")
    if not separator or not urn.startswith(_PREFIX):
        raise ValueError(f"malformed provider reference {reference!r}")
    return urn, id_
