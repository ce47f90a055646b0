"""Random programs and random trouble: what the property tests are made of.

Trouble strikes at an act of the provider (create, update, delete), counted within one command:

- ``refuse``: AWS says no, nothing happened;
- ``doubt``: nobody knows; it did happen, or it did not;
- ``half``: the resource is made, then something about it fails;
- ``kill``: the process is gone, before or after the act. The checkpoint is then what lay on disk at
  that instant, the lock stays, and nothing further begins; what had begun may still happen.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
from hypothesis import strategies as st
from pulumi import ResourceOptions
from pulumi.automation import CommandError

from engine.backend import StackName
from engine.checkpoint import decode_checkpoint
from engine.command import EmbeddedCommand
from engine.provider import CheckFailure, Diff, Properties, Provider, ProviderError
from engine.secrets import PassphraseSecrets
from engine.state import Snapshot
from engine.urn import is_provider_type

PASSPHRASE = "correct horse battery staple"
STACK = StackName("sequences", "dev")
Key = tuple[str, str]


@dataclass(frozen=True)
class Wish:
    """One resource of a program. ``place`` can only change with a new resource."""

    name: str
    kind: str
    version: int
    place: int
    first: bool
    after: bool


@dataclass(frozen=True)
class Trouble:
    """What goes wrong, and at which act of a command (from 0)."""

    kind: str
    at: int
    happened: bool


@dataclass(frozen=True)
class Command:
    """One command line: a verb, and for ``up`` and ``preview`` a program."""

    verb: str
    wishes: tuple[Wish, ...] = ()
    trouble: Trouble | None = None


def _wish(number: int, *kinds: str) -> st.SearchStrategy[Wish]:
    return st.builds(
        Wish,
        name=st.just(f"r{number}"),
        kind=st.sampled_from(kinds),
        version=st.integers(0, 1),
        place=st.integers(0, 1),
        first=st.booleans(),
        after=st.booleans(),
    )


# A user first, without which there is nothing to belong to.
_programs = st.tuples(
    _wish(0, "user"),
    *(st.none() | _wish(number, "key", "policy", "user") for number in range(1, 5)),
).map(lambda wishes: tuple(wish for wish in wishes if wish is not None))
_troubles = st.builds(
    Trouble,
    kind=st.sampled_from(("kill", "doubt", "half", "refuse")),
    at=st.integers(0, 3),
    happened=st.booleans(),
)
_ups = st.builds(
    Command, verb=st.just("up"), wishes=_programs, trouble=_troubles | st.none() | _troubles
)
_destroys = st.builds(Command, verb=st.just("destroy"), trouble=_troubles | st.none())
_others = st.builds(Command, verb=st.sampled_from(("refresh", "cancel")))
_previews = st.builds(Command, verb=st.just("preview"), wishes=_programs)
sequences = st.lists(
    st.one_of(_ups, _ups, _ups, _destroys, _others, _previews), min_size=2, max_size=5
)


class DoubtError(ProviderError):
    """The connection broke: nobody knows whether it happened."""

    def __init__(self) -> None:
        super().__init__("ReadTimeout", "no answer", retryable=True)


@dataclass
class Bookkeeper:
    """What exists, whatever the engine believes, and the trouble of the present command."""

    checkpoint: Path
    things: dict[Key, str] = field(default_factory=dict)
    lost: set[Key] = field(default_factory=set)
    """Deleted, and the engine was not told so."""
    trouble: Trouble | None = None
    acts: int = 0
    at_death: bytes | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, trouble: Trouble | None) -> None:
        """A new command, with its trouble."""
        self.trouble, self.acts, self.at_death = trouble, 0, None

    def strike(self) -> Trouble | None:
        """Count an act; the trouble if it is this one that it strikes."""
        with self.lock:
            if self.at_death is not None:
                raise ProviderError("Dead", "the process is gone")
            number, self.acts = self.acts, self.acts + 1
            trouble = self.trouble
            if trouble is None or trouble.at != number:
                return None
            if trouble.kind == "kill" and not trouble.happened:
                self.die()
            return trouble

    def die(self) -> None:
        """Remember the disk as it is now."""
        self.at_death = self.checkpoint.read_bytes()


class TroubledProvider(Provider):
    """A provider that trouble strikes, before or after it does what it is asked."""

    def __init__(self, inner: Provider, book: Bookkeeper) -> None:
        self.inner = inner
        self.book = book
        self.package = inner.package

    def check(
        self, type_: str, news: Properties, olds: Properties, *, urn: str
    ) -> tuple[Properties, list[CheckFailure]]:
        return self.inner.check(type_, news, olds, urn=urn)

    def diff(
        self,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        return self.inner.diff(type_, id_, old_inputs, old_outputs, news, ignore_changes)

    def create(
        self, type_: str, inputs: Properties, *, urn: str, timeout: float | None
    ) -> tuple[str, Properties]:
        made: list[tuple[str, Properties]] = []

        def act() -> None:
            id_, outputs = self.inner.create(type_, inputs, urn=urn, timeout=timeout)
            made.append((id_, outputs))
            self.book.things[type_, id_] = urn

        self._struck(act, made)
        return made[0]

    def read(
        self, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        return self.inner.read(type_, id_, inputs, outputs)

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
        changed: list[Properties] = []
        self._struck(
            lambda: changed.append(
                self.inner.update(type_, id_, old_inputs, old_outputs, news, timeout=timeout)
            )
        )
        return changed[0]

    def delete(
        self,
        type_: str,
        id_: str,
        inputs: Properties,
        outputs: Properties,
        *,
        timeout: float | None,
    ) -> None:
        def act() -> None:
            self.inner.delete(type_, id_, inputs, outputs, timeout=timeout)
            if self.book.things.pop((type_, id_), None):
                self.book.lost.add((type_, id_))

        self._struck(act)
        self.book.lost.discard((type_, id_))

    def invoke(self, token: str, args: Properties) -> Properties:
        return self.inner.invoke(token, args)

    def secret_outputs(self, type_: str) -> frozenset[str]:
        return self.inner.secret_outputs(type_)

    def preview_outputs(self, type_: str, inputs: Properties) -> Properties:
        return self.inner.preview_outputs(type_, inputs)

    def _struck(self, act: Callable[[], None], made: Sequence[tuple[str, Properties]] = ()) -> None:
        trouble = self.book.strike()
        if trouble is None:
            act()
            return
        if trouble.kind == "refuse":
            raise ProviderError("AccessDenied", "not authorized")
        if trouble.happened or trouble.kind == "half":
            act()
        if trouble.kind == "kill":
            with self.book.lock:
                if trouble.happened:
                    self.book.die()
            raise ProviderError("Dead", "the process is gone")
        if trouble.kind == "half":
            raise ProviderError("LimitExceeded", "half made", partial=made[0] if made else None)
        raise DoubtError


@dataclass
class World:
    """A backend and a cloud, on which commands run one after the other."""

    directory: Path
    inner: Callable[[Mapping[str, str], Mapping[str, Any]], Provider]
    secrets: PassphraseSecrets
    dead_pid: int
    prefix: str = "u"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state, self.work = self.directory / "state", self.directory / "work"
        self.work.mkdir(parents=True)
        (self.work / "Pulumi.yaml").write_text(f"name: {STACK.project}\nruntime: python\n")
        salt = self.state / ".pulumi" / "passphrase-salt"
        salt.parent.mkdir(parents=True)
        salt.write_text(self.secrets.state)
        folder = self.state / ".pulumi" / "stacks" / STACK.project
        self.book = Bookkeeper(folder / f"{STACK.name}.json")
        self._command(lambda: None).run(["stack", "init", STACK.name], *self._where())

    def run(self, command: Command) -> None:
        """Run one command, with its trouble; afterwards what must always hold does hold."""
        self.book.begin(command.trouble)
        with suppress(CommandError):
            self.command(command.verb, command.wishes)
        if self.book.at_death is not None:
            self.book.checkpoint.write_bytes(self.book.at_death)
            self._leave_lock()
        self.book.begin(None)
        self.verify()

    def command(self, verb: str, wishes: tuple[Wish, ...] = (), *flags: str) -> None:
        """Run a verb. Raises CommandError."""
        program = self._command(lambda: declare(self.prefix, wishes))
        program.run([verb, "--yes", "--stack", STACK.name, *flags], *self._where())

    def _command(self, program: Callable[[], None]) -> EmbeddedCommand:
        return EmbeddedCommand(
            program=program, provider=lambda *known: TroubledProvider(self.inner(*known), self.book)
        )

    def _where(self) -> tuple[str, dict[str, str]]:
        backend = {
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }
        return str(self.work), {**self.environment, **backend}

    def recorded(self) -> Snapshot:
        """The checkpoint; it must be valid at any time."""
        path = self.book.checkpoint
        return decode_checkpoint(path.read_bytes(), str(path), lambda _: self.secrets).snapshot

    def verify(self) -> None:
        """AWS holds what the state says, plus at most what its pending operations name."""
        snapshot = self.recorded()
        managed = [it for it in snapshot.resources if it.custom and not is_provider_type(it.type)]
        known = {(it.type, it.id) for it in managed if not it.pending_replacement}
        gone = {(it.type, it.id) for it in managed if it.pending_replacement}
        doubtful = {operation.resource.urn for operation in snapshot.pending_operations}
        stray = {key: urn for key, urn in self.book.things.items() if key not in known}
        assert set(stray.values()) <= doubtful, f"made and not known: {stray}"
        missing = {key for key in known - gone if key not in self.book.things}
        deleting = {
            (operation.resource.type, operation.resource.id)
            for operation in snapshot.pending_operations
            if operation.type == "deleting"
        }
        # The next command drops the intent, as officially; the engine learns later that it is gone.
        self.book.lost |= missing & deleting
        assert missing <= self.book.lost, f"known and not there: {missing}"

    def recover(self) -> None:
        """What the service does: delete the half-made, drop the intents, and destroy."""
        for operation in self.recorded().pending_operations:
            self._delete_strays(operation.resource.urn)
        self.command("refresh", (), "--clear-pending-creates")
        self.command("destroy")

    def _delete_strays(self, urn: str) -> None:
        known = {(it.type, it.id) for it in self.recorded().resources}
        provider = TroubledProvider(self.inner(self.environment, {}), self.book)
        for type_, id_ in [key for key, its in self.book.things.items() if its == urn]:
            if (type_, id_) not in known:
                owner = {"user": id_.partition(":")[0]}
                provider.delete(type_, id_, owner, owner, timeout=None)

    def _leave_lock(self) -> None:
        folder = self.state / ".pulumi/locks/organization" / STACK.project / STACK.name
        folder.mkdir(parents=True, exist_ok=True)
        owner = {
            "pid": self.dead_pid,
            "username": "somebody",
            "hostname": socket.gethostname(),
            "timestamp": datetime.now(UTC).isoformat(),
        }
        (folder / "00000000-0000-4000-8000-000000000000.json").write_text(json.dumps(owner))


def declare(prefix: str, wishes: Sequence[Wish]) -> None:
    """The program; ``prefix`` begins all names in AWS."""
    users: list[aws.iam.User] = []
    before: list[pulumi.Resource] = []
    for wish in wishes:
        opts = ResourceOptions(
            delete_before_replace=True if wish.first else None,
            depends_on=before[-1:] if wish.after else None,
        )
        made = _declare_one(prefix, wish, users, opts)
        if isinstance(made, aws.iam.User):
            users.append(made)
        if made is not None:
            before.append(made)
    pulumi.export("names", [user.name for user in users])


def _declare_one(
    prefix: str, wish: Wish, users: list[aws.iam.User], opts: ResourceOptions
) -> pulumi.Resource | None:
    tags = {"version": str(wish.version)}
    name = f"{prefix}-{wish.name}"
    if wish.kind == "user":
        return aws.iam.User(wish.name, name=f"{name}-{wish.place}", tags=tags, opts=opts)
    if not users:
        return None
    user = users[wish.place % len(users)].name
    if wish.kind == "key":
        status = "Inactive" if wish.version else "Active"
        return aws.iam.AccessKey(wish.name, user=user, status=status, opts=opts)
    policy = _policy(wish.version)
    return aws.iam.UserPolicy(wish.name, user=user, name=name, policy=policy, opts=opts)


def _policy(version: int) -> str:
    action = ("s3:GetObject", "s3:PutObject")[version]
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
