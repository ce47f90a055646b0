"""What an HTTP request asks of AWS: the action's name as IAM and S3 call it, and about whom."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, parse_qsl, urlsplit

_CREDENTIAL = re.compile(r"Credential=([^/]+)/[0-9]{8}/[^/]+/([^/]+)/")
_WITH_KEY = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_OF_BUCKET = {"GET": "ListObjects", "PUT": "CreateBucket", "HEAD": "HeadBucket"}


@dataclass(frozen=True)
class Call:
    """One request: `service` is iam, sts or s3, `action` CreateUser, PutObject, …"""

    service: str
    action: str
    arguments: Mapping[str, str]
    signed_by: str

    @property
    def user(self) -> str:
        """The user that the call is about; empty when about none."""
        return self.arguments.get("UserName", "")

    @property
    def key_id(self) -> str:
        """The access key that the call is about; empty when about none."""
        return self.arguments.get("AccessKeyId", "")


@dataclass(frozen=True)
class Answer:
    """An answer as it goes over the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether AWS did what was asked."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES


def parse(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Read the call from a request."""
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    signed_by, service = found.groups() if found else ("", "s3")
    if service != "s3":
        form = dict(parse_qsl(body.decode("utf-8")))
        return Call(service, form.get("Action", ""), form, signed_by)
    return _s3_call(method, target, signed_by)


def refusal(service: str, status: int, code: str, message: str = "injected") -> Answer:
    """AWS's refusal in the service's own form."""
    error = f"<Code>{code}</Code><Message>{message}</Message>"
    if service == "s3":
        text = f"<Error>{error}<RequestId>injected</RequestId></Error>"
    else:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error>"
            "<RequestId>injected</RequestId></ErrorResponse>"
        )
    return Answer(status, (("Content-Type", "application/xml"),), text.encode())


def _s3_call(method: str, target: str, signed_by: str) -> Call:
    parts = urlsplit(target)
    bucket, _, key = parts.path.lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    arguments = {"Bucket": bucket, "Key": key}
    if method == "POST" and "delete" in query:
        action = "DeleteObjects"
    elif "versions" in query:
        action = "ListObjectVersions"
    else:
        action = (_WITH_KEY if key else _OF_BUCKET).get(method, method)
    return Call("s3", action, arguments, signed_by)
