"""Becomes another program that the kernel interrupts when its parent dies.

Run by path: ``python -I -S tethered.py PARENT-PID PROGRAM ARGUMENTS…``. Asking for that between
fork and exec of the parent itself is not safe in a process with threads. The interrupt is the
graceful one (^C): the official program ends what runs, records it and gives its lock back, where
a kill would leave the stack locked and the outcome unknown. See prctl(2), PR_SET_PDEATHSIG: the
request survives exec, and it is the end of the starting *thread* that counts.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Tie this process to its parent and become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that asked for this has ended")
    try:
        os.execvp(command[0], command)  # noqa: S606 - arguments as they are, no shell
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
