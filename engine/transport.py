"""gRPC on loopback: for programs in another process, and for the Automation API's event stream."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    resource_pb2_grpc,
)

from engine.backend import ORGANIZATION
from engine.deployment import RunContext
from engine.monitor import EngineService, Monitor, MonitorError

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_THREADS = 64
_FLUSH_SECONDS = 30


class EventSink(Protocol):
    """Takes events until it is closed."""

    def __call__(self, event: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class EventStream:
    """Sends events to an Automation API that listens; ``close`` waits until all are there."""

    def __init__(self, address: str) -> None:
        """``address`` is ``host:port``."""
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        stub: Any = events_pb2_grpc.EventsStub(self._channel)
        self._done = stub.StreamEvents.future(self._requests())

    def __call__(self, event: dict[str, Any]) -> None:
        self._queue.put(event)

    def close(self) -> None:
        """Send what is left and hang up; a listener that went away is no error."""
        self._queue.put(None)
        try:
            self._done.result(timeout=_FLUSH_SECONDS)
        except (grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError):
            self._done.cancel()
        finally:
            self._channel.close()

    def _requests(self) -> Iterator[Any]:
        while (event := self._queue.get()) is not None:
            yield events_pb2.EventRequest(event=json.dumps(event))


class EventFile:
    """Appends events to a file, one a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def open_event_log(target: str) -> EventSink:
    """The sink that ``--event-log`` names: ``tcp://host:port`` or a path."""
    if target.startswith("tcp://"):
        return EventStream(target.removeprefix("tcp://"))
    return EventFile(Path(target))


def run_remote_program(
    address: str, context: RunContext, monitor: Monitor, engine: EngineService, directory: Path
) -> str:
    """Let the language runtime at ``address`` run its program; returns its error or ""."""
    with (
        _served(monitor, engine) as (monitor_address, engine_address),
        grpc.insecure_channel(address, options=_OPTIONS) as channel,
    ):
        stub: Any = language_pb2_grpc.LanguageRuntimeStub(channel)
        request = language_pb2.RunRequest(
            project=context.stack.project,
            stack=context.stack.name,
            pwd=str(directory),
            args=[engine_address],
            config=context.config,
            configSecretKeys=sorted(context.secret_keys),
            dryRun=context.dry_run,
            parallel=context.parallel,
            monitor_address=monitor_address,
            organization=ORGANIZATION,
        )
        try:
            response = stub.Run(request)
        except grpc.RpcError as error:
            details = getattr(error, "details", lambda: "")()
            return f"the program at {address} could not be run: {details}"
    return str(response.error)


@contextmanager
def _served(monitor: Monitor, engine: EngineService) -> Iterator[tuple[str, str]]:
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=_OPTIONS)
    services: tuple[Any, Any] = _Servicer(monitor), _Servicer(engine)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(services[0], server)
    engine_pb2_grpc.add_EngineServicer_to_server(services[1], server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address, address
    finally:
        server.stop(grace=1).wait()


class _Servicer:
    """Lets an object with plain methods answer gRPC calls."""

    def __init__(self, target: Monitor | EngineService) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        method = getattr(self._target, name, None)

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            if method is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported")
            try:
                return method(request)
            except MonitorError as error:
                context.abort(error.code(), error.details())

        return call
