"""A provider whose cloud is a dictionary: real enough to make, change, lose and refuse things."""
# ruff: noqa: ARG002 - the protocol passes more than a dictionary needs

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.provider import UNKNOWN, CheckFailure, Diff, Properties, ProviderError

REPLACING = {"path", "userId", "bucket", "replaceMe"}
"""Changing one of these needs a new resource."""
SECRET_OUTPUTS = {"aws:iam/accessKey:AccessKey": frozenset({"secret", "sesSmtpPasswordV4"})}
COMPUTED = {
    "aws:iam/user:User": ("arn", "uniqueId"),
    "aws:iam/accessKey:AccessKey": ("secret", "createDate"),
}


@dataclass
class MemoryCloud:
    """What exists, and what was done in which order. One cloud may serve many providers."""

    things: dict[tuple[str, str], Properties] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    refuse: dict[tuple[str, str], Exception] = field(default_factory=dict)
    """Errors to raise, by act and name: ``("create", "ada")``."""
    delay: float = 0.0
    busy: int = 0
    most_busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: int = 0
    unique_ids: bool = False
    """Whether what has no name of its own gets another id each time, as in AWS."""

    def provider(self, environment: Mapping[str, str], inputs: Mapping[str, Any]) -> MemoryProvider:
        """A ProviderFactory."""
        return MemoryProvider(self, dict(environment), dict(inputs))

    def acts(self, act: str) -> list[str]:
        """Names of the things that an act was done to, in order."""
        return [name for done, name in self.log if done == act]


@dataclass
class MemoryProvider:
    """A Provider of the package ``aws``."""

    cloud: MemoryCloud
    environment: dict[str, str]
    inputs: dict[str, Any]
    package: str = "aws"

    def check(
        self, type_: str, news: Properties, olds: Properties, *, urn: str
    ) -> tuple[Properties, list[CheckFailure]]:
        checked = dict(news)
        if type_ == "aws:iam/user:User":
            name = urn.rsplit("::", 1)[-1]
            checked.setdefault("name", olds.get("name") or f"{name}-0000001")
            checked.setdefault("path", "/")
        if checked.get("name") == "forbidden":
            return checked, [CheckFailure("name", "this name is not allowed")]
        return checked, []

    def diff(
        self,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        keys = old_inputs.keys() | news.keys()
        changed = tuple(sorted(key for key in keys if old_inputs.get(key) != news.get(key)))
        replaces = tuple(key for key in changed if key in REPLACING or key == "user")
        return Diff(bool(changed), replaces, "userId" in replaces, changed)

    def create(
        self, type_: str, inputs: Properties, *, urn: str, timeout: float | None
    ) -> tuple[str, Properties]:
        name = self._act("create", type_, inputs, urn)
        if self.cloud.unique_ids and "name" not in inputs:
            name = f"{name}-{self.cloud.made}"
        elif self.cloud.unique_ids and "user" in inputs:
            # As in AWS: a policy of the same name on another user is another thing.
            name = f"{inputs['user']}:{name}"
        key = (type_, name)
        if key in self.cloud.things:
            raise ProviderError("EntityAlreadyExists", f"{name} is already there")
        outputs = self._outputs(type_, name, inputs)
        self.cloud.things[key] = outputs
        return name, dict(outputs)

    def read(
        self, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        self._act("read", type_, {"name": id_}, id_)
        found = self.cloud.things.get((type_, id_))
        if found is None:
            return None
        computed = COMPUTED.get(type_, ())
        read_inputs = {key: value for key, value in found.items() if key not in computed}
        return id_, read_inputs, dict(found)

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
        self._act("update", type_, {"name": id_}, id_)
        outputs = {**self.cloud.things[type_, id_], **news}
        self.cloud.things[type_, id_] = outputs
        return dict(outputs)

    def delete(
        self,
        type_: str,
        id_: str,
        inputs: Properties,
        outputs: Properties,
        *,
        timeout: float | None,
    ) -> None:
        self._act("delete", type_, {"name": id_}, id_)
        self.cloud.things.pop((type_, id_), None)

    def invoke(self, token: str, args: Properties) -> Properties:
        if token == "aws:index/getRegion:getRegion":
            return {"region": "eu-west-1", "name": "eu-west-1", "id": "eu-west-1"}
        raise ProviderError("Unsupported", token)

    def secret_outputs(self, type_: str) -> frozenset[str]:
        return SECRET_OUTPUTS.get(type_, frozenset())

    def preview_outputs(self, type_: str, inputs: Properties) -> Properties:
        return {**inputs, **dict.fromkeys(COMPUTED.get(type_, ()), UNKNOWN)}

    def _outputs(self, type_: str, name: str, inputs: Properties) -> Properties:
        outputs = dict(inputs)
        with self.cloud.lock:
            self.cloud.made += 1
            number = self.cloud.made
        if type_ == "aws:iam/user:User":
            outputs |= {"arn": f"arn:aws:iam::000000000000:user/{name}", "uniqueId": f"AID{number}"}
        if type_ == "aws:iam/accessKey:AccessKey":
            outputs |= {"secret": f"plain-secret-{name}-{number}", "createDate": "today"}
        return outputs

    def _act(self, act: str, type_: str, inputs: Properties, urn: str) -> str:
        name = str(inputs.get("name") or urn.rsplit("::", 1)[-1])
        with self.cloud.lock:
            self.cloud.log.append((act, name))
            self.cloud.busy += 1
            self.cloud.most_busy = max(self.cloud.most_busy, self.cloud.busy)
        try:
            if self.cloud.delay:
                time.sleep(self.cloud.delay)
            error = self.cloud.refuse.get((act, name))
            if error is not None:
                raise error
        finally:
            with self.cloud.lock:
                self.cloud.busy -= 1
        return name
