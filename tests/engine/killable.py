"""A process that runs commands in children of its own, and kills them (``kill -9``) when told.

It loads everything once and forks for each command, so that a killed one costs no start. Each line
of its input is an order, each line of its output (after one that says ``ready``) the status that
the child ended with. It has no thread of its own, so that forking is safe, and ends with its input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pulumi_aws as aws
from pulumi.automation import CommandError
from typing_extensions import override

from engine.aws import aws_provider
from engine.command import EmbeddedCommand
from engine.provider import Properties, Provider
from engine.secrets import PassphraseSecrets
from tests.engine.sequences import (
    PASSPHRASE,
    STACK,
    Bookkeeper,
    TroubledProvider,
    Wish,
    declare,
)

# pulumi_aws loads its modules at the first use: before the first child, so that it is done once.
LOADED = (aws.iam.User, aws.iam.AccessKey, aws.iam.UserPolicy)
_ANSWER_SECONDS = 0.03


@dataclass(frozen=True)
class Order:
    """A command to run, and after how many seconds it is killed (None: it ends by itself)."""

    verb: str
    wishes: tuple[Wish, ...]
    prefix: str
    work: str
    environment: Mapping[str, str]
    kill_after: float | None

    def dumped(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def read(line: str) -> Order:
    """The order that a line holds."""
    fields = json.loads(line)
    wishes = tuple(Wish(**wish) for wish in fields.pop("wishes"))
    return Order(wishes=wishes, **fields)


class SlowAnswers(TroubledProvider):
    """AWS has done it, and the answer takes its time, as over a real network.

    That is the instant at which a kill hurts most; on loopback it would hardly ever be hit.
    """

    @override
    def _struck(self, act: Callable[[], None], made: Sequence[tuple[str, Properties]] = ()) -> None:
        act()
        time.sleep(_ANSWER_SECONDS)


def slow_provider(environment: Mapping[str, str], config: Mapping[str, Any]) -> Provider:
    """The service's own provider, on a slow network."""
    return SlowAnswers(aws_provider(environment, config), Bookkeeper(Path()))


def run(order: Order) -> int:
    """Run a command; its status."""
    command = EmbeddedCommand(
        program=lambda: declare(order.prefix, order.wishes), provider=slow_provider
    )
    words = [order.verb, "--yes", "--stack", STACK.name]
    try:
        command.run(words, order.work, dict(order.environment))
    except CommandError as error:
        sys.stderr.write(str(error))
        return 1
    return 0


def obey(order: Order) -> int:
    """Run it in a child; the status that the child ended with."""
    child = os.fork()
    if child == 0:
        os._exit(run(order))
    if order.kill_after is not None:
        time.sleep(order.kill_after)
        # It may have ended; until it is waited for, the number is still its own.
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(salt: str) -> None:
    """Obey until there are no more orders."""
    # Derived once for all children.
    PassphraseSecrets(salt, PASSPHRASE)
    print("ready", flush=True)
    for line in sys.stdin:
        print(obey(read(line)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
