"""Connections to receivers: to a checked address only, and never longer than the deadline."""

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from service.outgoing.destinations import Destinations, Target


class Deadline:
    """A moment by which all has to be done; counts from when it is made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; raises `httpcore.TimeoutException` when none is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is up")
        return left


class CheckedBackend(httpcore.NetworkBackend):
    """Resolves the target's name, checks what it finds, and connects to that very address.

    TLS still asks for the target's name, in SNI and in the certificate: the name is what httpcore
    passes to `start_tls`, whatever address lies below.
    """

    def __init__(self, destinations: Destinations, target: Target, deadline: Deadline) -> None:
        self._destinations = destinations
        self._target = target
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the name's addresses that answers.

        Raises `destinations.DestinationRefused`, `destinations.NameNotResolved` and httpcore's
        errors.
        """
        addresses = self._destinations.addresses(self._target)
        for number, address in enumerate(addresses, start=1):
            # No address may use up the time of those after it.
            share = self._deadline.left() / (len(addresses) - number + 1)
            try:
                stream = self._plain.connect_tcp(
                    str(address), self._target.port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
            else:
                return _TimedStream(stream, self._deadline)
        raise httpcore.ConnectError(f"{host}:{port} has no address")


class _TimedStream(httpcore.NetworkStream):
    """A stream whose every wait ends at the deadline, however slowly the bytes drip in."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
