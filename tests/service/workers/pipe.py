"""A way to a PostgreSQL server that can begin to swallow all, as a cut cable does."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self


class Pipe:
    """Forwards a port of loopback to the server's Unix socket until told to swallow."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._swallows = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> Self:
        """Begin to forward."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.close()

    def url(self, url: str) -> str:
        """The database's URL through this pipe."""
        name = url.partition("?")[0].rpartition("/")[2]
        return f"postgresql://handover@127.0.0.1:{self._listener.getsockname()[1]}/{name}"

    def swallow(self) -> None:
        """Forward nothing any more, and close nothing."""
        self._swallows.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._sockets += [near, far]
                if not self._swallows.is_set():
                    far.connect(str(self._target))
                    for ends in ((near, far), (far, near)):
                        threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._swallows.is_set():
                    to.sendall(data)
            if not self._swallows.is_set():
                to.shutdown(socket.SHUT_WR)
