"""A proxy with TLS on loopback before the local AWS, which misbehaves as its rules say.

Requests go on as they came, with the Host that was signed, so that signatures hold.
"""

import contextlib
import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from engine.localaws import LocalAws
from engine.localaws_files import certificate
from tests.faults.calls import Answer, Call, parse, refusal
from tests.faults.consistency import Consistency
from tests.faults.faults import Fault, Refuse, Reset, Rule, Rules, Silent, Slow, Tell

UPSTREAM_SECONDS = 60.0
# Of the connection, not of the answer.
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


class _Broken(Exception):
    """The connection ends without an answer."""


class FaultProxy:
    """Runs while its context lasts; `rules` and `consistency` may change meanwhile."""

    def __init__(self, local: LocalAws, *, seed: int = 0, port: int = 0) -> None:
        self.local = local
        self.rules = Rules(seed)
        self.consistency = Consistency()
        self.calls: list[str] = []
        self._silence = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler_for(self))
        authority, chain, key = certificate(local.directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self._server.context = context
        self.upstream = ssl.create_default_context(cafile=str(authority))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="fault-proxy", daemon=True
        )

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, **more: str) -> dict[str, str]:
        """The variables with which AWS tools talk to the local AWS through it."""
        return {**self.local.environment(), "AWS_ENDPOINT_URL": self.endpoint_url, **more}

    def inject(self, action: str, fault: Fault, **when: Any) -> Rule:
        """Inject a fault into calls of an action; see `Rule` for `first`, `times`, `chance`."""
        return self.rules.add(Rule(action, fault, **when))

    def calm(self) -> None:
        """Behave from now on."""
        self.rules.clear()
        self.consistency = Consistency()
        self.calls.clear()

    def break_silence(self) -> None:
        """Reset the connections of those that wait for an answer, and behave from now on."""
        self.calm()
        self._silence.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._silence.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pass_on(self, call: Call, ask: "_Ask") -> Answer:
        """The answer to a call, after what is to go wrong with it has; raises `_Broken`."""
        self.calls.append(call.action)
        fault = self.rules.fault_for(call)
        match fault:
            case Refuse(status, code, message):
                return refusal(call.service, status, code, message)
            case Silent():
                self._silence.wait()
                raise _Broken
            case Reset(after=False):
                raise _Broken
            case Slow(seconds):
                time.sleep(seconds)
            case Tell(hook, after=False):
                hook(call)
            case _:
                pass
        answer = self._bent(call, ask)
        match fault:
            case Reset(after=True):
                raise _Broken
            case Tell(hook, after=True):
                hook(call)
            case _:
                pass
        return answer

    def _bent(self, call: Call, ask: "_Ask") -> Answer:
        early = self.consistency.before(call)
        return early if early is not None else self.consistency.after(call, ask())


class _Ask:
    """Asks the local AWS, over one connection kept alive for each connection of a client's."""

    def __init__(self, proxy: FaultProxy) -> None:
        where = urlsplit(proxy.local.endpoint_url)
        self._connection = http.client.HTTPSConnection(
            where.hostname or "", where.port, timeout=UPSTREAM_SECONDS, context=proxy.upstream
        )
        self.request: tuple[str, str, Mapping[str, str], bytes] = ("", "", {}, b"")

    def __call__(self) -> Answer:
        method, target, headers, body = self.request
        connection = self._connection
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError) as error:
            raise _Broken from error
        # The length of an answer to HEAD is the object's, which nobody sends.
        hop = _HOP - {"content-length"} if method == "HEAD" else _HOP
        kept = tuple((n, v) for n, v in response.getheaders() if n.lower() not in hop)
        return Answer(response.status, kept, content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    context: ssl.SSLContext

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread: a silent peer must not stop the others."""
        with contextlib.suppress(OSError):
            request.settimeout(UPSTREAM_SECONDS)
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = self.context.wrap_socket(request, server_side=True)
            super().process_request_thread(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell."""


def _handler_for(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.ask = _Ask(proxy)

        def finish(self) -> None:
            self.ask.close()
            with contextlib.suppress(OSError):
                super().finish()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._serve
            raise AttributeError(name)

        def _serve(self) -> None:
            headers = dict(self.headers.items())
            body = self._body()
            lower = {name.lower(): value for name, value in headers.items()}
            call = parse(self.command, self.path, lower, body)
            self.ask.request = (self.command, self.path, headers, body)
            try:
                answer = proxy.pass_on(call, self.ask)
            except _Broken:
                self._reset()
                return
            self._write(answer)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            raw = b""
            while True:
                line = self.rfile.readline()
                size = int(line.split(b";")[0], 16)
                raw += line + self.rfile.read(size + 2)
                if size == 0:
                    return raw

        def _reset(self) -> None:
            """Abort the connection: with lingering of zero seconds the kernel sends a reset."""
            self.close_connection = True
            raw = self.connection
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(raw.detach())

        def _write(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if self.command == "HEAD":
                self.end_headers()
                return
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    return Handler
