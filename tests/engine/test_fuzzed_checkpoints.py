"""Broken checkpoints of every kind: a clear error with the path, no traceback, the file untouched.

HANDOVER_FUZZ sets how many are tried, HANDOVER_SEED which ones.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from engine.command import EmbeddedCommand
from engine.secrets import PassphraseSecrets
from tests.engine.conftest import PASSPHRASE, Workbench, client_program

SEED = int(os.environ.get("HANDOVER_SEED") or secrets.randbits(32))
COUNT = int(os.environ.get("HANDOVER_FUZZ") or 150)
VERBS = (
    ["stack", "ls", "--json"],
    ["stack", "export", "--stack", "ABC-LLC"],
    ["stack", "output", "--json", "--stack", "ABC-LLC"],
    ["preview", "--stack", "ABC-LLC"],
    ["refresh", "--yes", "--stack", "ABC-LLC"],
    ["up", "--yes", "--stack", "ABC-LLC"],
    ["destroy", "--yes", "--stack", "ABC-LLC"],
    ["stack", "rm", "--yes", "--stack", "ABC-LLC"],
)
# A recorded value that no longer fits its property: it is the SDK that refuses it, in the program.
OF_THE_PROGRAM = "python inline source runtime error: Unexpected type"
JUNK: tuple[Any, ...] = (None, 0, -1, 1.5, True, "", "x", "urn:pulumi:a::b::c::d", [], {}, [[]])


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A stack with a good checkpoint, and a backup of it."""
    salt = PassphraseSecrets.create(PASSPHRASE).state
    bench = Workbench(tmp_path_factory.mktemp("fuzz")).prepare(salt)
    bench.stack(client_program).up()
    return bench


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document, from the top."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(item, (*path, key))
    return found


def holder(document: Any, path: tuple[str | int, ...]) -> Any:
    """What holds the last key of a path."""
    for key in path[:-1]:
        document = document[key]
    return document


@st.composite
def broken(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to break a checkpoint: in its bytes, or in its structure."""
    kind = draw(st.sampled_from(("cut", "flip", "replace", "remove", "repeat")))
    where, junk = draw(st.integers(0, 10**6)), draw(st.sampled_from(JUNK))

    def mutate(data: bytes) -> bytes:
        if kind == "cut":
            return data[: where % len(data)]
        if kind == "flip":
            at = where % len(data)
            return data[:at] + bytes([data[at] ^ (1 << where % 8)]) + data[at + 1 :]
        document = copy.deepcopy(json.loads(data))
        every = places(document)
        path = every[where % len(every)]
        held = holder(document, path)
        if kind == "remove":
            del held[path[-1]]
        elif kind == "repeat" and isinstance(held, list):
            held.append(copy.deepcopy(held[int(path[-1])]))
        else:
            held[path[-1]] = junk
        return json.dumps(document).encode()

    return mutate


@seed(SEED)
@settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(mutate=broken(), verb=st.sampled_from(VERBS))
def test_any_break_is_told(
    opened: Workbench, mutate: Callable[[bytes], bytes], verb: list[str]
) -> None:
    """Point 3: refused with its path and the last good backup, and left as it is."""
    print(f"HANDOVER_SEED={SEED}")
    judge(opened, mutate(opened.checkpoint_path().read_bytes()), verb)


@pytest.mark.parametrize("junk", [..., 0, "", {}], ids=["removed", "0", "empty", "mapping"])
@pytest.mark.parametrize("verb", [VERBS[3], VERBS[4]], ids=["preview", "refresh"])
def test_each_place_broken_in_turn(opened: Workbench, verb: list[str], junk: Any) -> None:
    """Every field of the checkpoint, taken away or replaced by something else."""
    good = opened.checkpoint_path().read_bytes()
    for path in places(json.loads(good)):
        document = json.loads(good)
        if junk is ...:
            del holder(document, path)[path[-1]]
        else:
            holder(document, path)[path[-1]] = junk
        judge(opened, json.dumps(document).encode(), verb)


def judge(opened: Workbench, bad: bytes, verb: list[str]) -> None:
    """Run a verb on a broken checkpoint, and put everything back as it was."""
    path = opened.checkpoint_path()
    good = path.read_bytes()
    history = snapshot_of(opened.state, path)
    things = dict(opened.cloud.things)
    replace(path, bad)
    try:
        command = EmbeddedCommand(program=client_program, provider=opened.cloud.provider)
        answer = command.answer(verb, str(opened.work), opened.environment())
        if answer.code:
            assert path.read_bytes() == bad or is_update(answer.stdout)
            assert "Traceback" not in answer.stderr or OF_THE_PROGRAM in answer.stderr
            assert answer.stderr.startswith("error: ")
        if answer.code and "corrupt" in answer.stderr:
            assert str(path) in answer.stderr
            assert "the last good backup is" in answer.stderr
    finally:
        restore(opened.state, history)
        replace(path, good)
        opened.cloud.things = things


def is_update(stdout: str) -> bool:
    """Whether a checkpoint that could be read was worked on, and something else then failed."""
    return "Resources:" in stdout or "Duration" in stdout or "failed" in stdout


def snapshot_of(state: Path, checkpoint: Path) -> dict[Path, bytes]:
    files = (path for path in state.rglob("*") if path.is_file() and path != checkpoint)
    return {path: path.read_bytes() for path in files}


def restore(state: Path, files: dict[Path, bytes]) -> None:
    for path in state.rglob("*"):
        if path.is_file() and path not in files:
            path.unlink()
    for path, data in files.items():
        if not path.exists() or path.read_bytes() != data:
            replace(path, data)


def replace(path: Path, data: bytes) -> None:
    """Write a new file: backups are hard links to the old one."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
