"""Calls to AWS as they leave boto3, in the service or in the official engine's AWS plugin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.endpoint
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from tests.chaos.points import AFTER, BEFORE, READING
from tests.faults.calls import parse, refusal


@dataclass(frozen=True)
class Calls:
    """Has a point before each call and one after its answer, and denies one for good.

    ``at`` is told where a point goes by, and answers whether the call's answer is to be lost;
    ``denied`` says whether the action is denied.
    """

    at: Callable[[str, str], bool]
    denied: Callable[[str], bool]

    def install(self) -> None:
        """Wrap boto3's way out."""
        way_out: Any = botocore.endpoint.Endpoint
        send = way_out._send

        def watched(endpoint: Any, request: Any) -> Any:
            return self.call(request, lambda: send(endpoint, request))

        way_out._send = watched

    def call(self, request: Any, send: Callable[[], Any]) -> Any:
        """One request to AWS, with a point before it is sent and one after its answer."""
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        body = _text(request.body).encode() if isinstance(request.body, (bytes, str)) else b""
        target = "/" + request.url.split("/", 3)[3]
        call = parse(request.method, target, headers, body)
        if self.denied(call.action):
            return _denied(request.url, call.service)
        self.at(call.action, BEFORE)
        answer = send()
        if not call.action.startswith(READING) and self.at(call.action, AFTER):
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def _denied(url: str, service: str) -> AWSResponse:
    answer = refusal(service, 403, "AccessDenied", "the run denies it")
    headers: Any = dict(answer.headers)
    return AWSResponse(url, answer.status, headers, _Raw(answer.body))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
