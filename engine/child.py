"""Runs a program as a child: its lines as they come, interrupted when asked, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.stopping import ShouldStop

OnLine = Callable[[str], object]
_TETHERED = Path(__file__).with_name("tethered.py")
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its status, and all that it wrote."""

    code: int
    stdout: str
    stderr: str


def run_child(
    command: Sequence[str],
    *,
    directory: str,
    environment: Mapping[str, str],
    on_output: OnLine | None = None,
    on_error: OnLine | None = None,
    should_stop: ShouldStop | None = None,
    inherited: Sequence[int] = (),
) -> Ended:
    """Run a program to its end; interrupt it once when ``should_stop`` says so.

    ``inherited``: descriptors that it, and what it starts itself, keep open.

    It writes to files, not to pipes: it must be able to end in order after this process has died,
    and a write to a broken pipe would kill it. Raises OSError when it can't be started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        streams = (_Stream(out, on_output), _Stream(err, on_error))
        with _start(command, directory, environment, out, err, inherited) as process:
            try:
                _wait(process, streams, should_stop)
            except BaseException:
                # The caller is interrupted: so is the child, and it is waited for.
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
        said, complained = (stream.rest() for stream in streams)
        return Ended(process.returncode, said, complained)


def _start(
    command: Sequence[str],
    directory: str,
    environment: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    inherited: Sequence[int],
) -> subprocess.Popen[bytes]:
    tied = [sys.executable, "-I", "-S", str(_TETHERED), str(os.getpid()), *command]
    return subprocess.Popen(
        tied,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        pass_fds=inherited,
    )


def _wait(
    process: subprocess.Popen[bytes],
    streams: Sequence[_Stream],
    should_stop: ShouldStop | None,
) -> None:
    heard = any(stream.callback for stream in streams)
    interrupted = should_stop is None
    while heard or not interrupted:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return
        for stream in streams:
            stream.pass_on()
        if not interrupted and should_stop is not None and should_stop():
            # Once only: a second interrupt would make the official program drop all at once.
            process.send_signal(signal.SIGINT)
            interrupted = True
    process.wait()


class _Stream:
    """A file that a program writes to, read here by whole lines."""

    def __init__(self, file: IO[bytes], callback: OnLine | None) -> None:
        self.callback = callback
        self._file = file
        self._lines: list[str] = []
        self._begun = b""
        self._at = 0

    def pass_on(self) -> None:
        """Hand on the lines that came since the last call."""
        while data := os.pread(self._file.fileno(), 1 << 16, self._at):
            self._at += len(data)
            *whole, self._begun = (self._begun + data).split(b"\n")
            for line in whole:
                self._add(line)

    def rest(self) -> str:
        """Hand on what is left; everything, as one text."""
        self.pass_on()
        if self._begun:
            self._add(self._begun)
        return "\n".join(self._lines)

    def _add(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        self._lines.append(text)
        if self.callback is not None:
            self.callback(text)
