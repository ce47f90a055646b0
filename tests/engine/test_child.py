"""A program as a child: real processes, heard, interrupted and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from engine.child import Ended, run_child
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
# Writes a line, then waits for an interrupt, which it counts; a second one would be fatal.
PATIENT = """
import signal, sys, time
count = []
signal.signal(signal.SIGINT, lambda *_: count.append(1))
print("begun", flush=True)
while not count:
    time.sleep(0.01)
time.sleep(0.5)
print("interrupted", len(count), flush=True)
sys.exit(3)
"""
ONE_BY_ONE = f"""
import pathlib, sys, time
print("one", flush=True)
deadline = time.monotonic() + {PATIENCE}
while not pathlib.Path(sys.argv[1]).exists() and time.monotonic() < deadline:
    time.sleep(0.01)
print("two" if time.monotonic() < deadline else "unheard")
"""
PARENT = """
import os, sys
from engine.child import run_child
run_child([sys.executable, "-c", sys.argv[1]], directory="/", environment=dict(os.environ))
"""
FORSAKEN = """
import os, signal, sys, time
from pathlib import Path
ended = []
signal.signal(signal.SIGINT, lambda *_: ended.append(1))
Path({folder!r}, "pid").write_text(str(os.getpid()))
while not ended:
    time.sleep(0.01)
print("a write does not break it", flush=True)
Path({folder!r}, "farewell").write_text("in order")
"""


def run(command: list[str], **options: object) -> Ended:
    keywords: dict[str, object] = {"directory": "/", "environment": dict(os.environ), **options}
    return run_child(command, **keywords)  # type: ignore[arg-type]  # passed on as given


def test_status_and_output() -> None:
    code = "import sys; print('a\\nb'); print('ç', end='', file=sys.stderr); sys.exit(7)"
    assert run([sys.executable, "-c", code]) == Ended(7, "a\nb", "ç")


def test_lines_come_as_they_are_written(tmp_path: Path) -> None:
    """The second one is written once the first has been heard."""
    heard, seen = tmp_path / "heard", []

    def hear(text: str) -> None:
        seen.append(text)
        heard.touch()

    run([sys.executable, "-c", ONE_BY_ONE, str(heard)], on_output=hear)
    assert seen == ["one", "two"]


def test_environment_and_folder_are_the_given_ones(tmp_path: Path) -> None:
    code = "import os; print(os.environ['WORD'], os.getcwd(), 'HOME' in os.environ)"
    environment = {"WORD": "x", "PATH": "/usr/bin:/bin"}
    ended = run([sys.executable, "-c", code], directory=str(tmp_path), environment=environment)
    assert ended.stdout == f"x {tmp_path} False"


def test_it_is_interrupted_once() -> None:
    """The second interrupt would make the official program drop all at once."""
    begun: list[str] = []
    ended = run(
        [sys.executable, "-c", PATIENT], on_output=begun.append, should_stop=lambda: bool(begun)
    )
    assert (ended.code, ended.stdout) == (3, "begun\ninterrupted 1")


def test_a_program_that_is_not_there_is_a_failure() -> None:
    ended = run(["/nowhere/program"])
    assert ended.code
    assert ended.stderr == "/nowhere/program: No such file or directory"


def test_it_is_interrupted_when_its_parent_is_killed(tmp_path: Path) -> None:
    """kill -9 of the parent: the child ends in order, as it must to give back a lock."""
    words = [sys.executable, "-c", PARENT, FORSAKEN.format(folder=str(tmp_path))]
    parent = subprocess.Popen(words, cwd=ROOT)
    try:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until(lambda: (tmp_path / "farewell").exists())
