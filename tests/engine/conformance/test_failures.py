"""Point 3: failures and crashes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pulumi_aws as aws
import pytest
from pulumi import ResourceOptions
from pulumi import automation as auto
from types_boto3_iam import IAMClient

from tests.engine.conformance.conftest import ROOT, Bench
from tests.engine.conformance.programs import two_users, user_program


def test_failed_create(bench: Bench, iam: IAMClient) -> None:
    """A failed create leaves the others recorded, and nothing pending"""
    iam.create_user(UserName=f"{bench.unique}-2")

    def program() -> None:
        first = aws.iam.User("first", name=f"{bench.unique}-1")
        opts = ResourceOptions(depends_on=[first])
        aws.iam.User("second", name=f"{bench.unique}-2", opts=opts)

    stack = bench.stack(program)
    with pytest.raises(auto.CommandError, match="EntityAlreadyExists"):
        stack.up()
    assert bench.names() == ["first"]
    assert bench.pending() == []
    assert stack.history()[0].result == "failed"
    iam.delete_user(UserName=f"{bench.unique}-2")
    assert stack.up().summary.resource_changes == {"same": 2, "create": 1}
    stack.destroy()


CRASHING = """
import json, sys
from pathlib import Path
from tests.engine.conformance.conftest import Bench
from tests.engine.conformance.programs import user_program
given = json.loads(sys.stdin.read())
bench = Bench(given["engine"], Path(given["directory"]), given["aws"], given["unique"])
bench.stack(user_program(given["unique"])).up()
"""


@contextmanager
def silent_server() -> Iterator[str]:
    """An endpoint that takes requests and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def kill_while_creating(bench: Bench) -> None:
    """Kill everything that an update has started while it waits for AWS to make the user."""
    with silent_server() as endpoint:
        given = {
            "engine": bench.engine,
            "directory": str(bench.directory),
            "aws": {**bench.aws, "AWS_ENDPOINT_URL_IAM": endpoint},
            "unique": bench.unique,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", CRASHING],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(given))
            process.stdin.close()
            deadline = time.monotonic() + 90
            while not has_begun(bench) and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert bench.pending() == [("creating", "user")]


def has_begun(bench: Bench) -> bool:
    return bench.checkpoint_path().exists() and ("creating", "user") in bench.pending()


WARNINGS = ("pending operations", "pending creates", "interrupted")


def test_pending_create(bench: Bench) -> None:
    """kill -9 in a create: the intent stays through `up`, `refresh`, `destroy` and `cancel`"""
    kill_while_creating(bench)
    stack = bench.stack(two_users(bench.unique))
    stack.cancel()
    assert bench.pending() == [("creating", "user")]
    messages: list[str] = []

    def note(event: auto.EngineEvent) -> None:
        if event.diagnostic_event:
            messages.append(event.diagnostic_event.message)

    for verb in (stack.up, stack.refresh, stack.destroy):
        messages.clear()
        verb(on_event=note, on_output=messages.append, on_error=messages.append)
        assert bench.pending() == [("creating", "user")]
        # The official program says nothing of it in a refresh.
        warned = any(word in text for text in messages for word in WARNINGS)
        assert warned or verb == stack.refresh


def test_clearing_pending_creates(bench: Bench) -> None:
    """`refresh(clear_pending_creates=True)` drops the intent"""
    kill_while_creating(bench)
    stack = bench.stack(user_program(bench.unique))
    stack.cancel()
    stack.refresh(clear_pending_creates=True)
    assert bench.pending() == []
    stack.up()
    stack.destroy()


def test_import_drops_pending(bench: Bench) -> None:
    """`import_stack` drops the intent"""
    kill_while_creating(bench)
    stack = bench.stack(user_program(bench.unique))
    stack.cancel()
    exported = stack.export_stack()
    assert exported.deployment is not None
    cleared = {**exported.deployment, "pending_operations": []}
    stack.import_stack(auto.Deployment(exported.version, cleared))
    assert bench.pending() == []


@pytest.mark.parametrize("content", [b"", b'{"version":9,"checkpoint":{}}'], ids=["empty", "later"])
def test_broken_checkpoint(bench: Bench, content: bytes) -> None:
    """A corrupt or future checkpoint is refused and left untouched"""
    stack = bench.stack(user_program(bench.unique))
    stack.up()
    original = bench.checkpoint_path().read_bytes()
    bench.checkpoint_path().write_bytes(content)
    with pytest.raises(auto.CommandError):
        stack.up()
    assert bench.checkpoint_path().read_bytes() == content
    bench.checkpoint_path().write_bytes(original)
    stack.destroy()


def test_wrong_passphrase(bench: Bench) -> None:
    """A wrong passphrase is refused"""

    def program() -> None:
        user = aws.iam.User("user", name=bench.unique)
        aws.iam.AccessKey("key", user=user.name)

    bench.stack(program).up()
    bench.extra["PULUMI_CONFIG_PASSPHRASE"] = "wrong"
    with pytest.raises(auto.CommandError, match="incorrect passphrase"):
        bench.stack(program).up()
    bench.extra.clear()
    bench.stack(program).destroy()
