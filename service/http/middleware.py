"""Pure ASGI middleware: request ids, access log, safe headers, HEAD, body limit, the last
boundary.
"""

import logging
import re
import time
import uuid
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.http.errors import problem_response
from service.problems import Problem

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being answered, for log lines written on its behalf."""

_SAFE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_access_log = logging.getLogger("handover.access")
_log = logging.getLogger("handover.http")


class RequestContext:
    """Gives each request an id, safe headers and one access-log line; turns any crash into a 500.

    The log names the route's template, never the path or the query: they can hold names (PB-02).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        token = REQUEST_ID.set(request_id)
        started = time.perf_counter()
        answer = _Answer(send, request_id)
        try:
            await self._answer(scope, receive, answer, request_id)
        finally:
            REQUEST_ID.reset(token)
            _log_access(scope, answer.status, time.perf_counter() - started, request_id)

    async def _answer(
        self, scope: Scope, receive: Receive, answer: "_Answer", request_id: str
    ) -> None:
        try:
            await self._app(scope, receive, answer)
        except Exception:  # noqa: BLE001 - the boundary: whatever it was, the caller gets a problem
            _log.exception("request %s failed", request_id)
            if answer.status is None:
                problem = Problem(
                    problems.INTERNAL_ERROR, "The request could not be carried out; see the log."
                )
                await problem_response(problem, request_id)(scope, receive, answer)


class _Answer:
    """A `send` that adds the headers every answer has and remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers.setdefault("Content-Security-Policy", "default-src 'none'")
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


class HeadAsGet:
    """Answers HEAD as GET without the body (RFC 9110, section 9.3.2), also where GET streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def bodiless(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        async def receive_until_ended() -> Message:
            # A stream ends when its reader is gone: tell it so as soon as its headers are out.
            return {"type": "http.disconnect"} if ended else await receive()

        await self._app({**scope, "method": "GET"}, receive_until_ended, bodiless)


class _TooLargeError(Exception):
    """The body is larger than the limit."""


class _CallerGoneError(Exception):
    """The caller hung up before the body was complete."""


class BodyLimit:
    """Reads the body before anything else sees it and refuses more than `limit` bytes with 413.

    Bytes are counted as they come, since a chunked body does not announce its length.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except _TooLargeError:
            await self._refuse(scope, receive, send)
            return
        except _CallerGoneError:
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        if self._announced(scope) > self._limit:
            raise _TooLargeError
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _CallerGoneError
            body += message.get("body", b"")
            if len(body) > self._limit:
                raise _TooLargeError
            if not message.get("more_body", False):
                return bytes(body)

    def _announced(self, scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "0")
        return int(length) if length.isdecimal() else 0

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = Problem(
            problems.BODY_TOO_LARGE,
            f"The body is larger than {self._limit} bytes.",
            members={"limit": self._limit},
            headers={"Connection": "close"},
        )
        await problem_response(problem, scope["state"]["request_id"])(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    read = False

    async def replayed() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _SAFE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _log_access(scope: Scope, status: int | None, seconds: float, request_id: str) -> None:
    route = getattr(scope.get("route"), "path", "-")
    actor = scope["state"].get("actor_id", "-")
    _access_log.info(
        "%s %s %s %.0f ms request=%s actor=%s",
        scope["method"],
        route,
        status or "gone",
        seconds * 1000,
        request_id,
        actor,
    )
