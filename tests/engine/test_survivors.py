"""Who still runs for a stack is told by the kernel: by real processes that inherit its file."""

import subprocess
import sys
from pathlib import Path

from engine.child import run_child
from engine.survivors import have_ended, held
from tests.waiting import PATIENCE

# Starts a child that lives on, as a killed program leaves its plugin, and is killed.
LEAVES_ONE_BEHIND = '''
import os, signal, subprocess, sys
lives_on = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
"""
subprocess.Popen([sys.executable, "-c", lives_on, sys.argv[1]], close_fds=False)
os.kill(os.getpid(), signal.SIGKILL)
'''


def test_nothing_runs_where_nothing_was_begun(tmp_path: Path) -> None:
    assert have_ended(tmp_path / "none", 0)


def test_what_a_killed_program_has_started_counts(tmp_path: Path) -> None:
    """It holds on until the last of them has ended, and then lets go by itself."""
    file, end = tmp_path / "stack.running", tmp_path / "end"
    with held(file) as descriptor:
        command = [sys.executable, "-c", LEAVES_ONE_BEHIND, str(end)]
        ended = run_child(command, directory="/", environment={}, inherited=[descriptor])
    assert ended.code < 0
    assert not have_ended(file, 0.1)
    end.touch()
    assert have_ended(file, PATIENCE)


def test_it_is_held_while_this_process_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "stack.running"
    with held(file), held(file):
        assert not have_ended(file, 0)
    assert have_ended(file, 0)


def test_a_program_that_does_not_inherit_it_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "stack.running"
    with held(file):
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert have_ended(file, PATIENCE)
    assert other.poll() is None, "it runs on"
    other.kill()
    other.wait()
