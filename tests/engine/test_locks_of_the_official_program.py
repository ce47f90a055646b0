"""Whose locks the official program's refusal names: those of the dead are taken away."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from engine.official import left_by_the_dead

REFUSAL = (
    "error: the stack is currently locked by {count} lock(s). Either wait for the other process(es)"
    " to end or delete the lock file with `pulumi cancel`."
)


def refusal(*owners: tuple[str, int, datetime]) -> str:
    """What the program says, word for word (pkg/backend/diy/lock.go)."""
    lines = [
        f"  file:///state/.pulumi/locks/organization/p/s/{number}.json: "
        f"created by root@{host} (pid {pid}) at {since.strftime('%Y-%m-%dT%H:%M:%SZ')}"
        for number, (host, pid, since) in enumerate(owners)
    ]
    return "\n".join([REFUSAL.format(count=len(owners)), *lines])


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HERE, NOW = socket.gethostname(), datetime.now(UTC)


def test_the_dead_of_this_machine() -> None:
    assert left_by_the_dead(refusal((HERE, dead_pid(), NOW)))
    assert left_by_the_dead(refusal((HERE, dead_pid(), NOW), (HERE, dead_pid(), NOW)))


def test_a_number_that_another_process_has_since() -> None:
    assert left_by_the_dead(refusal((HERE, os.getppid(), NOW - timedelta(days=400))))


def test_the_living_and_those_elsewhere_are_respected() -> None:
    assert not left_by_the_dead(refusal((HERE, os.getppid(), NOW)))
    assert not left_by_the_dead(refusal((HERE, dead_pid(), NOW), (HERE, os.getppid(), NOW)))
    assert not left_by_the_dead(refusal(("another-machine", dead_pid(), NOW)))


def test_a_refusal_that_names_nobody_is_respected() -> None:
    assert not left_by_the_dead(REFUSAL.format(count=1))
