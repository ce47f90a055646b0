"""The official engine's AWS plugin under watch: ours, which asks the service at each call to AWS.

The official program starts it as its own child. Points that go by here are the service's: it
counts them, and there it is decided what happens.
"""

import os
import stat
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from engine.plugin import server
from stacks.backend import AWS_PLUGIN
from tests.chaos.calls import Calls
from tests.chaos.points import BEFORE, ENGINE, PLUGIN

PORT, DENIED = "CHAOS_PORT", "CHAOS_DENIED"
"""Variables that the plugin gets by way of the official program."""
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Be the plugin."""
    _ask(PLUGIN, BEFORE)
    denied = os.environ[DENIED]
    Calls(lambda action, phase: _ask(ENGINE + action, phase), lambda it: it == denied).install()
    server.main()


def _ask(what: str, phase: str) -> bool:
    """Tell the service that a point goes by; wait, and return whether the answer is to be lost."""
    try:
        with Client(("127.0.0.1", int(os.environ[PORT]))) as service:
            service.send((what, phase))
            return bool(service.recv())
    except (OSError, EOFError):
        # The service was killed, here perhaps: the official program goes on to an orderly end.
        return False


def listen(at: Callable[[str, str], bool], denied: str) -> None:
    """Answer the plugins of the programs that this process starts from now on."""
    listener = Listener(("127.0.0.1", 0))
    os.environ[PORT], os.environ[DENIED] = str(listener.address[1]), denied

    def accept() -> None:
        while True:
            threading.Thread(target=_answer, args=(listener.accept(), at), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _answer(plugin: Connection, at: Callable[[str, str], bool]) -> None:
    with plugin:
        plugin.send(at(*plugin.recv()))


def official(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which the official program finds this plugin, put into a folder."""
    plugin = folder / "bin" / AWS_PLUGIN
    plugin.parent.mkdir()
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m {__spec__.name} "$@"\n')
    plugin.chmod(stat.S_IRWXU)
    return {
        **environment,
        "PULUMI_HOME": str(folder / "home"),
        "PATH": f"{plugin.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }


if __name__ == "__main__":
    main()
