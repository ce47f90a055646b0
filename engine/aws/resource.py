"""The base of every resource type: its properties, and what follows from them alone."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.aws.clients import Clients
from engine.provider import UNKNOWN, CheckFailure, Diff, Properties

# Written by the official bridge into inputs at every level; says nothing about the resource.
BRIDGE_DEFAULTS = "__defaults"

EMPTY: tuple[Any, ...] = (None, False, "", [], {})

Check = Callable[[Any], str | None]
Same = Callable[[Any, Any], bool]


def anything(_: Any) -> str | None:
    """Accept every value."""
    return None


def as_given(value: Any) -> Any:
    """The value itself."""
    return value


def plain(value: Any) -> Any:
    """The value without what means nothing to AWS: nulls, false, empty text, lists and maps."""
    if isinstance(value, dict):
        pairs = ((key, plain(item)) for key, item in value.items() if key != BRIDGE_DEFAULTS)
        return {key: item for key, item in pairs if item not in EMPTY}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def equal(one: Any, other: Any) -> bool:
    """Whether two values mean the same to AWS; absent, empty and null do."""
    first, second = plain(one), plain(other)
    return first == second or (first in EMPTY and second in EMPTY)


def equal_sets(one: Any, other: Any) -> bool:
    """Whether two lists hold the same members, in whatever order."""
    return sorted(one or []) == sorted(other or [])


def has_unknown(value: Any) -> bool:
    """Whether the value is, or holds at any depth, the one that a preview does not know."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


@dataclass(frozen=True)
class Property:
    """One input property.

    Attributes:
        default: filled in when the program gives none.
        replaces: cannot change in place.
        computed: where the program gives none, AWS's own value stands.
        same: whether two values mean the same.
        check: says what is wrong with a value, or None.
        normal: brings a value to the form that is recorded.
    """

    required: bool = False
    default: Any = None
    replaces: bool = False
    computed: bool = False
    same: Same = equal
    check: Check = anything
    normal: Callable[[Any], Any] = as_given


Schema = Mapping[str, Property]


class IncompleteError(Exception):
    """A resource was made, then a call that should have finished it failed (the cause)."""

    def __init__(self, id_: str, outputs: Properties) -> None:
        super().__init__(id_)
        self.id = id_
        self.outputs = outputs


class Resource(ABC):
    """One resource type; an instance works for one account, credentials and region.

    Attributes:
        type_name: Pulumi's name of the type.
        properties: what a program may set.
        computed: outputs that only AWS knows.
        secret: outputs that are always secret.
        identity: the properties that make up its name in AWS; while they stay, an old and a new
            one cannot both exist.
        named: the property that gets a generated name when the program gives none.
    """

    type_name: ClassVar[str]
    properties: ClassVar[Schema]
    computed: ClassVar[tuple[str, ...]] = ()
    secret: ClassVar[frozenset[str]] = frozenset()
    identity: ClassVar[tuple[str, ...]] = ()
    named: ClassVar[str] = ""
    elsewhere: ClassVar[str] = "use the official pulumi program for it"

    def __init__(self, clients: Clients) -> None:
        self.clients = clients

    # What AWS is asked for.

    @abstractmethod
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Make it; answer id and outputs. Raises botocore's errors, or IncompleteError."""

    @abstractmethod
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """Its id and all outputs as AWS holds them, or None when it is gone.

        Args:
            known: recorded inputs and outputs together; empty on import.
        """

    @abstractmethod
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """Change in place from the recorded outputs `old` to `news`; answer the outputs."""

    @abstractmethod
    def delete(self, id_: str, known: Properties) -> None:
        """Delete it; already gone is done."""

    def conflicts(self, inputs: Properties) -> Iterator[CheckFailure]:  # noqa: ARG002  # a hook
        """What is wrong with properties together, beyond each by itself."""
        yield from ()

    # What follows from the properties.

    def check(
        self, news: Properties, olds: Properties, urn: str
    ) -> tuple[Properties, list[CheckFailure]]:
        """Inputs with defaults and a generated name, and what is wrong with them."""
        inputs = {
            name: self.properties[name].normal(value) if name in self.properties else value
            for name, value in news.items()
            if value is not None and name != BRIDGE_DEFAULTS
        }
        for name, value in self.defaults(inputs, olds, urn).items():
            inputs.setdefault(name, value)
        return inputs, [*self._failures(inputs), *self.conflicts(inputs)]

    def defaults(self, inputs: Properties, olds: Properties, urn: str) -> Properties:
        """Values for properties that the program left out."""
        values = {
            name: property_.default
            for name, property_ in self.properties.items()
            if property_.default is not None
        }
        if self.named and self.named not in inputs:
            values[self.named] = olds.get(self.named) or self.generated_name(inputs, urn)
        return values

    def generated_name(self, inputs: Properties, urn: str) -> str:
        """A fresh name: the program's prefix, else the resource's name, and seven digits."""
        prefix = inputs.get(f"{self.named}Prefix") or urn.rpartition("::")[2] + "-"
        return f"{prefix}{secrets.token_hex(4)[:7]}"

    def _failures(self, inputs: Properties) -> Iterator[CheckFailure]:
        for name, property_ in self.properties.items():
            if property_.required and name not in inputs:
                yield CheckFailure(name, "is required")
        for name, value in inputs.items():
            if name not in self.properties:
                yield CheckFailure(
                    name, f"is not supported by the embedded engine: {self.elsewhere}"
                )
            elif not has_unknown(value) and (reason := self.properties[name].check(value)):
                yield CheckFailure(name, reason)

    def diff(self, state: Properties, news: Properties, ignored: Sequence[str]) -> Diff:
        """What differs between the recorded outputs and new inputs."""
        diffs = tuple(
            name
            for name, property_ in self.properties.items()
            if name not in ignored and self._differs(property_, state.get(name), news.get(name))
        )
        replaces = tuple(name for name in diffs if self.properties[name].replaces)
        collides = bool(self.identity) and not any(name in diffs for name in self.identity)
        return Diff(bool(diffs), replaces, bool(replaces) and collides, diffs)

    @staticmethod
    def _differs(property_: Property, old: Any, new: Any) -> bool:
        if has_unknown(new):
            return True
        if new is None and property_.computed:
            return False
        return not property_.same(old, new)

    def outputs(self, id_: str, inputs: Properties, **computed: Any) -> Properties:
        """All outputs in their recorded form: id, every property, and what AWS computed."""
        return {"id": id_, **dict.fromkeys(self.properties), **inputs, **computed}

    def read(
        self, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Id, inputs and outputs as AWS holds them; what means the same keeps its recorded form."""
        found = self.find(id_, {**inputs, **outputs})
        if found is None:
            return None
        actual_id, actual = found
        for name, property_ in self.properties.items():
            if name in outputs and property_.same(outputs[name], actual.get(name)):
                actual[name] = outputs[name]
        return actual_id, self._inputs(inputs, actual), actual

    def _inputs(self, recorded: Properties, actual: Properties) -> Properties:
        if recorded:
            names = [name for name in recorded if name in self.properties]
        else:
            names = [name for name in self.properties if not self.properties[name].computed]
        found = {name: actual.get(name) for name in names}
        return {
            name: recorded[name]
            if name in recorded and self.properties[name].same(recorded[name], value)
            else value
            for name, value in found.items()
            if value not in EMPTY or name in recorded
        }

    def preview(self, inputs: Properties) -> Properties:
        """The outputs as far as they are known before it is made."""
        unknown = [name for name, it in self.properties.items() if it.computed]
        return {**dict.fromkeys(["id", *self.computed, *unknown], UNKNOWN), **inputs}
