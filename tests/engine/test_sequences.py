"""Properties that hold after any sequence of up, fail, kill, refresh and destroy.

HANDOVER_SEQUENCES sets how many sequences are tried, HANDOVER_SEED which ones.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import pulumi_aws as aws
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from types_boto3_iam import IAMClient

from engine.aws import aws_provider
from engine.localaws import LocalAws
from engine.secrets import PassphraseSecrets
from tests.engine.memory_provider import MemoryCloud
from tests.engine.sequences import PASSPHRASE, Command, World, sequences
from tests.seeds import first_seed

# pulumi_aws loads its modules at the first use, which is not safe from several threads at once.
LOADED = (aws.iam.User, aws.iam.AccessKey, aws.iam.UserPolicy)
SEED = int(os.environ.get("HANDOVER_SEED") or first_seed())
COUNT = int(os.environ.get("HANDOVER_SEQUENCES") or 200)
ON_AWS = max(10, COUNT // 10)
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)


@pytest.fixture(scope="module")
def sealed() -> PassphraseSecrets:
    """One salt for all: deriving a key takes longer than a sequence."""
    return PassphraseSecrets.create(PASSPHRASE)


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


@seed(SEED)
@settings(
    max_examples=COUNT, deadline=None, database=None, suppress_health_check=SLOW, phases=PHASES
)
@given(commands=sequences)
def test_any_sequence(commands: list[Command], sealed: PassphraseSecrets, dead_pid: int) -> None:
    """On a cloud in memory."""
    print(f"HANDOVER_SEED={SEED}")
    cloud = MemoryCloud(unique_ids=True)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "world", cloud.provider, sealed, dead_pid)
        run(world, commands)
        assert cloud.things == {}


@seed(SEED)
@settings(
    max_examples=ON_AWS, deadline=None, database=None, suppress_health_check=SLOW, phases=PHASES
)
@given(commands=sequences)
def test_any_sequence_on_aws(
    commands: list[Command],
    sealed: PassphraseSecrets,
    dead_pid: int,
    local_aws: LocalAws,
    iam: IAMClient,
) -> None:
    """On the local AWS, with the provider that the service uses."""
    print(f"HANDOVER_SEED={SEED}")
    prefix = f"s-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        world = World(
            Path(folder) / "world",
            aws_provider,
            sealed,
            dead_pid,
            prefix,
            local_aws.environment(),
        )
        run(world, commands)
    names = [user["UserName"] for user in iam.list_users()["Users"]]
    assert [name for name in names if name.startswith(prefix)] == []


def run(world: World, commands: list[Command]) -> None:
    """Run the sequence, then recover; nothing may be left."""
    for command in commands:
        world.run(command)
    world.recover()
    assert world.recorded().resources == ()
    assert world.recorded().pending_operations == ()
    assert world.book.things == {}
