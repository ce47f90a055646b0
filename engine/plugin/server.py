"""``handover-resource-aws``: the provider as a program.

The engine starts it with its own address as the only argument, reads the port from the first line
of its output, and ends it when it is done. It ends by itself when the engine is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from engine.aws import aws_provider
from engine.plugin.messages import PluginError, status_of
from engine.plugin.service import ProviderService

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_THREADS = 64
_WATCH_SECONDS = 0.2
_GRACE_SECONDS = 5.0


class Servicer:
    """Lets the service answer gRPC calls; what it does not know is UNIMPLEMENTED."""

    def __init__(self, service: ProviderService) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        method = getattr(self._service, name, None)

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            if method is None:
                context.abort(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"{name} is not supported by handover-resource-aws: use the official AWS "
                    "plugin (pulumi plugin install resource aws)",
                )
            try:
                return method(request)
            except PluginError as error:
                status: Any = status_of(error)
                context.abort_with_status(status)

        return call


def serve(service: ProviderService) -> tuple[grpc.Server, int]:
    """Serve on a free port of loopback; returns the running server and the port."""
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=_OPTIONS)
    servicer: Any = Servicer(service)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Serve until the engine says so, or is gone."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    engine = os.getppid()
    server, port = serve(ProviderService(aws_provider, dict(os.environ)))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while not ended.wait(_WATCH_SECONDS):
        if os.getppid() != engine:
            # Nobody hears what a call under way has made: recovery looks for it, once this has
            # ended, and must not find it after that.
            os._exit(1)
    server.stop(_GRACE_SECONDS).wait()


if __name__ == "__main__":
    main()
