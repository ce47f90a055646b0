"""Takes a resource through its life as the engine would."""

import json
from dataclasses import dataclass
from typing import Any

from engine.aws import AwsProvider
from engine.provider import Diff, Properties


def policy(*actions: str, resource: str = "*", effect: str = "Allow") -> str:
    """A policy document of one statement."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass
class Made:
    """A resource that was made, as the engine's state has it."""

    provider: AwsProvider
    type: str
    id: str
    inputs: Properties
    outputs: Properties

    def diff(self, news: Properties) -> Diff:
        """What changing to the inputs would mean."""
        checked, failures = self.provider.check(self.type, news, self.inputs, urn=urn(self.type))
        assert not failures, failures
        return self.provider.diff(self.type, self.id, self.inputs, self.outputs, checked, [])

    def update(self, news: Properties) -> None:
        """Change in place, and see that nothing is left to change."""
        diff = self.diff(news)
        assert diff.changes
        assert not diff.replaces, diff
        checked, _ = self.provider.check(self.type, news, self.inputs, urn=urn(self.type))
        self.outputs = self.provider.update(
            self.type, self.id, self.inputs, self.outputs, checked, timeout=None
        )
        self.inputs = checked
        assert not self.diff(news).changes

    def refresh(self) -> bool:
        """Read anew; answer whether it is still there."""
        found = self.provider.read(self.type, self.id, self.inputs, self.outputs)
        if found is None:
            return False
        self.id, self.inputs, self.outputs = found
        return True

    def assert_settled(self) -> None:
        """AWS holds what the state says: a fresh read changes nothing."""
        before = (self.id, dict(self.inputs), dict(self.outputs))
        assert self.refresh()
        assert (self.id, self.inputs, self.outputs) == before

    def delete(self) -> None:
        """Delete; to do so again is no error, and it is gone."""
        for _ in range(2):
            self.provider.delete(self.type, self.id, self.inputs, self.outputs, timeout=None)

    def assert_deleted(self) -> None:
        """Delete it twice and see that it is gone."""
        self.delete()
        assert not self.refresh()


@dataclass
class Driver:
    """Makes and imports resources."""

    provider: AwsProvider

    def make(self, type_: str, logical: str = "it", /, **news: Any) -> Made:
        """Check and create."""
        inputs, failures = self.provider.check(type_, news, {}, urn=urn(type_, logical))
        assert not failures, failures
        id_, outputs = self.provider.create(type_, inputs, urn=urn(type_, logical), timeout=None)
        assert outputs["id"] == id_
        return Made(self.provider, type_, id_, inputs, outputs)

    def adopt(self, type_: str, id_: str) -> Made:
        """Read what is there, as an import does."""
        found = self.provider.read(type_, id_, {}, {})
        assert found, f"{type_} {id_} was not found"
        return Made(self.provider, type_, *found)

    def failures(self, type_: str, /, **news: Any) -> dict[str, str]:
        """What check says of the inputs, by property."""
        _, failures = self.provider.check(type_, news, {}, urn=urn(type_))
        return {failure.property: failure.reason for failure in failures}


def urn(type_: str, name: str = "it") -> str:
    """A URN of a resource of some stack."""
    return f"urn:pulumi:test::handover::{type_}::{name}"
