"""The process that a local AWS is: ministack, served on a socket that its parent has bound.

Run by path (never by ``-m``), with the number of the listening descriptor as its only argument
and its settings in the environment. It ends, saving its state, when its standard input reaches
its end (the parent is gone, however it went) or on SIGTERM.
"""

import asyncio
import importlib
import os
import signal
import sys
import threading
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

HEALTH = "/_ministack/health"


class PromptLoop(asyncio.SelectorEventLoop):
    """An event loop whose TLS servers do not wait half a minute for an idle client's farewell.

    AWS clients keep idle connections that never answer a TLS shutdown; with asyncio's default
    each stop would take 30 s.
    """

    async def create_server(self, *args: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options["ssl_shutdown_timeout"] = 0.2
        return await super().create_server(*args, **options)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong, but not that an idle client said no farewell."""
    if not isinstance(context.get("exception"), TimeoutError):
        loop.default_exception_handler(context)


def configuration(descriptor: int, environment: "os._Environ[str]") -> Config:
    """Hypercorn's settings: this one socket, TLS with the parent's certificate, no access log."""
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.certfile = environment["MINISTACK_SSL_CERT"]
    config.keyfile = environment["MINISTACK_SSL_KEY"]
    config.loglevel = environment["LOG_LEVEL"]
    # Clients keep their connections for longer than a quiet quarter of an hour.
    config.keep_alive_timeout = 900
    # Idle kept-alive connections end at once on shutdown; a request under way may finish.
    config.graceful_timeout = 3
    return config


def guarded(application: Any) -> Any:
    """The application without ministack's own controls, which ask for no credentials.

    One of them wipes all state. Bucket names cannot begin with an underscore.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if not path.startswith("/_") or path == HEALTH:
            await application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return answer


def watch_parent(loop: asyncio.AbstractEventLoop, shutdown: asyncio.Event) -> None:
    """Wait for the end of standard input in a thread, then ask the server to stop."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        loop.call_soon_threadsafe(shutdown.set)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


async def run(descriptor: int) -> None:
    """Serve ministack on the descriptor until the parent is gone or SIGTERM comes."""
    shutdown = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, shutdown.set)
    loop.set_exception_handler(report)
    watch_parent(loop, shutdown)
    application = importlib.import_module("ministack.app").app
    config = configuration(descriptor, os.environ)
    await serve(guarded(application), config, shutdown_trigger=shutdown.wait)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=PromptLoop) as runner:
        runner.run(run(int(sys.argv[1])))
