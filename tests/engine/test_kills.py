"""Real processes, really killed (``kill -9``) in the middle of their work, on the local AWS.

HANDOVER_SEQUENCES and HANDOVER_SEED set how many sequences are tried and which ones.
"""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from types_boto3_iam import IAMClient

from engine.aws import aws_provider
from engine.localaws import LocalAws
from engine.secrets import PassphraseSecrets
from engine.state import ResourceState
from engine.urn import is_provider_type
from tests.engine.killable import Order
from tests.engine.sequences import PASSPHRASE, Key, Wish, World
from tests.seeds import first_seed

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("HANDOVER_SEED") or first_seed())
COUNT = max(12, int(os.environ.get("HANDOVER_SEQUENCES") or 0) // 16)
USER, KEY, POLICY = (
    "aws:iam/user:User",
    "aws:iam/accessKey:AccessKey",
    "aws:iam/userPolicy:UserPolicy",
)
KILLED = -9


@dataclass
class Killable:
    """The process that runs commands and kills them."""

    process: subprocess.Popen[str]

    def obey(self, order: Order) -> int:
        """Run a command; the status that it ended with."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{order.dumped()}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def sealed() -> PassphraseSecrets:
    """One salt for all."""
    return PassphraseSecrets.create(PASSPHRASE)


@pytest.fixture(scope="module")
def killable(sealed: PassphraseSecrets) -> Iterator[Killable]:
    """One for all sequences: what is killed are its children."""
    words = [sys.executable, "-m", "tests.engine.killable", sealed.state]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Killable(process)


@dataclass
class Drill:
    """One world on the local AWS in which commands are killed."""

    world: World
    iam: IAMClient
    killable: Killable
    work: str
    environment: dict[str, str]
    lost: set[Key] = field(default_factory=set)
    """Deleted, and the engine does not know it yet."""
    seconds: float = 0
    """How long the last command took."""

    def run(self, verb: str, wishes: tuple[Wish, ...], kill_after: float | None) -> int:
        """Run a command, then look whether what must always hold does hold."""
        order = Order(verb, wishes, self.world.prefix, self.work, self.environment, kill_after)
        unheard = self.lost | self.deleting()
        began = time.monotonic()
        status = self.killable.obey(order)
        self.seconds = time.monotonic() - began
        self.verify(unheard)
        return status

    def deleting(self) -> set[Key]:
        """What the state says is being deleted."""
        pending = self.world.recorded().pending_operations
        return {(it.resource.type, it.resource.id) for it in pending if it.type == "deleting"}

    def verify(self, unheard: set[Key]) -> None:
        """AWS holds what the state says, plus at most what its pending operations name.

        ``unheard``: deletions that nobody heard the end of; the next command drops the intent, and
        a refresh sees that it is gone, as officially.
        """
        snapshot, things = self.world.recorded(), self.things()
        managed = [it for it in snapshot.resources if it.custom and not is_provider_type(it.type)]
        strays = things - {(it.type, it.id) for it in managed}
        begun = [it.resource for it in snapshot.pending_operations if it.type == "creating"]
        unexplained = [key for key in strays if not any(is_of(it, key) for it in begun)]
        assert not unexplained, f"made and not known: {unexplained}"
        missing = {(it.type, it.id) for it in managed if not it.pending_replacement} - things
        self.lost = (unheard | self.deleting()) & missing
        assert missing == self.lost, f"known and not there: {missing - self.lost}"

    def things(self) -> set[Key]:
        """Types and ids of what there is of ours."""
        found: set[Key] = set()
        for user in self.iam.list_users()["Users"]:
            name = user["UserName"]
            if not name.startswith(f"{self.world.prefix}-"):
                continue
            found.add((USER, name))
            keys = self.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
            found |= {(KEY, key["AccessKeyId"]) for key in keys}
            policies = self.iam.list_user_policies(UserName=name)["PolicyNames"]
            found |= {(POLICY, f"{name}:{policy}") for policy in policies}
        return found

    def recover(self) -> None:
        """What the service does: delete the half-made, drop the intents, and destroy."""
        snapshot = self.world.recorded()
        known = {(it.type, it.id) for it in snapshot.resources}
        provider = aws_provider(self.environment, {})
        for operation in snapshot.pending_operations:
            for type_, id_ in sorted(self.things() - known, reverse=True):
                if is_of(operation.resource, (type_, id_)):
                    inputs = operation.resource.inputs
                    provider.delete(type_, id_, inputs, inputs, timeout=None)
        self.world.command("refresh", (), "--clear-pending-creates")
        self.world.command("destroy")


def is_of(state: ResourceState, key: Key) -> bool:
    """Whether the creation of a resource, had it come to its end, would have made this."""
    type_, id_ = key
    if state.type != type_:
        return False
    inputs = state.inputs
    ids = {USER: inputs.get("name"), POLICY: f"{inputs.get('user')}:{inputs.get('name')}"}
    return type_ == KEY or ids[type_] == id_


def program(chance: random.Random) -> tuple[Wish, ...]:
    """A user, and up to five more resources."""
    kinds = ["user", *chance.choices(("key", "policy", "user"), k=chance.randint(0, 5))]
    return tuple(
        Wish(
            name=f"r{number}",
            kind=kind,
            version=chance.randint(0, 1),
            # A user with another name is renamed, which the local AWS can't do.
            place=0 if kind == "user" else chance.randint(0, 1),
            first=chance.random() < 0.5,
            after=chance.random() < 0.5,
        )
        for number, kind in enumerate(kinds)
    )


@pytest.fixture(scope="module")
def killed() -> Iterator[list[int]]:
    """Statuses of all commands; enough of them must really have been killed at work."""
    statuses: list[int] = []
    yield statuses
    assert statuses.count(KILLED) >= len(statuses) // 4, statuses


@pytest.mark.parametrize("number", range(COUNT))
def test_killed_in_the_middle(
    number: int,
    tmp_path: Path,
    sealed: PassphraseSecrets,
    killable: Killable,
    killed: list[int],
    local_aws: LocalAws,
    iam: IAMClient,
) -> None:
    """After any kills the state loads and tells the truth; recovery and destroy leave nothing."""
    print(f"HANDOVER_SEED={SEED}")
    chance = random.Random(f"{SEED}-{number}")  # noqa: S311 - to be repeated, not to be secret
    environment = {
        **local_aws.environment(),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'world' / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
    }
    prefix = f"k-{secrets.token_hex(4)}"
    world = World(tmp_path / "world", aws_provider, sealed, 0, prefix, local_aws.environment())
    drill = Drill(world, iam, killable, str(world.work), environment)
    assert drill.run("up", program(chance), None) == 0
    usual = drill.seconds
    for _ in range(chance.randint(2, 4)):
        verb = chance.choice(("up", "up", "up", "destroy", "refresh"))
        killed.append(drill.run(verb, program(chance), chance.uniform(0, usual)))
    drill.recover()
    assert world.recorded().resources == ()
    assert world.recorded().pending_operations == ()
    assert drill.things() == set()
