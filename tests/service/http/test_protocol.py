"""What every answer has in common: problems, limits, headers, methods, and no leaks."""

import json
import logging
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service import problems
from service.context import Services
from service.http.starting import Once
from service.wishes import Requester
from tests.service.http.conftest import TokenFactory, caller
from tests.waiting import until

Request = dict[str, Any]


def access_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the access log so far."""
    return [r.getMessage() for r in caplog.records if r.name == "handover.access"]


def raw(address: str, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/clients/", "/v2/clients", "/redoc", "//"]
)
def test_unknown_addresses_are_404_problems(api: httpx.Client, path: str) -> None:
    """An address that does not exist answers a problem, and no redirect."""
    answer = api.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_405_names_all_methods(api: httpx.Client) -> None:
    """`Allow` has the methods of all routes at the address."""
    answer = api.put("/v1/clients")
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    options = api.options("/v1/clients/ABC-LLC")
    assert (options.status_code, options.headers["Allow"]) == (
        204,
        "DELETE, GET, HEAD, OPTIONS, PATCH",
    )


def test_head_is_get_without_a_body(api: httpx.Client, abc_llc: Request) -> None:
    """RFC 9110: HEAD answers as GET does, without the body, also where GET streams."""
    operation = api.post("/v1/clients", json=abc_llc).json()
    get, head = api.get("/v1/clients/ABC-LLC"), api.head("/v1/clients/ABC-LLC")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == get.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(get.content))
    stream = api.head(f"/v1/operations/{operation['id']}/events")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert api.head("/v1/clients/Nobody").status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a":1', b"\xff\xfe", b"[" * 60000, b"nonsense", b'{"a": "\xc3"}']
)
def test_malformed_json_is_refused(api: httpx.Client, body: bytes) -> None:
    """What is not JSON answers 4xx, however deeply nested or badly encoded."""
    answer = api.post("/v1/clients", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in ((422,) if not body else (400,))
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"NaN", b'{"legal_name": NaN}'])
def test_json_of_another_shape_is_refused(api: httpx.Client, body: bytes) -> None:
    """JSON that is no object of the right shape answers 422."""
    answer = api.post("/v1/clients", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_other_media_types_are_415(api: httpx.Client, abc_llc: Request, content_type: str) -> None:
    """Only JSON is taken, even where the bytes would parse."""
    headers = {"Content-Type": content_type}
    answer = api.post("/v1/clients", content=json.dumps(abc_llc), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


def test_json_with_parameters_is_taken(api: httpx.Client, abc_llc: Request) -> None:
    """A charset parameter does no harm."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = api.post("/v1/clients", content=json.dumps(abc_llc), headers=headers)
    assert answer.status_code == 202


def test_large_bodies_are_413(api: httpx.Client, services: Services) -> None:
    """A body over 64 KiB is refused, at the limit it is not."""
    limit = services.settings.max_body_bytes
    assert limit == 64 * 1024
    headers = {"Content-Type": "application/json"}
    answer = api.post("/v1/clients", content=b" " * (limit + 1), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
    assert "X-Request-Id" in answer.headers
    assert api.post("/v1/clients", content=b" " * limit, headers=headers).status_code == 400


def test_large_chunked_bodies_are_413(address: str, token: TokenFactory) -> None:
    """Bytes are counted as they come, since a chunked body does not announce its length."""
    head = (
        "POST /v1/clients HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {token('clients:write')}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    chunks = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    answer = raw(address, head + chunks * 5)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v1/clients/%00 HTTP/1.1",
        b"GET /v1/clients?name=%00 HTTP/1.1",
        b"GET /%ff%fe HTTP/1.1",
    ],
)
def test_odd_bytes_in_addresses_do_no_harm(
    address: str, token: TokenFactory, request_line: bytes
) -> None:
    """NUL and broken UTF-8 in the address answer 4xx."""
    bearer = token("clients:read").encode()
    head = b"\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + bearer + b"\r\n\r\n"
    status = int(raw(address, request_line + head).split()[1])
    assert 400 <= status < 500


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123_X.y:z", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("ä", False)],
)
def test_request_ids(address: str, given: str, kept: bool) -> None:
    """A safe request id is echoed and names the problem; another one is replaced."""
    headers = [(b"X-Request-Id", given.encode())]
    answer = httpx.get(f"{address}/v1/clients", headers=headers, trust_env=False)
    answered = answer.headers["X-Request-Id"]
    assert (answered == given) is kept
    assert answer.json()["instance"] == f"urn:handover:request:{answered}"


def test_audited_request_ids_hold_no_names() -> None:
    """The caller's own request id gets into the chain only if it can be no name (RX-17)."""
    assert Requester("a", None, "0123456789abcdef").audited_request_id == "0123456789abcdef"
    derived = Requester("a", None, "for-ada-lovelace").audited_request_id
    assert derived is not None
    assert len(derived) == 32
    assert derived == Requester("a", None, "for-ada-lovelace").audited_request_id


def test_answers_are_not_stored_or_sniffed(api: httpx.Client, abc_llc: Request) -> None:
    """Personal data is in no cache (PB-23)."""
    for answer in (
        api.post("/v1/clients", json=abc_llc),
        api.get("/v1/clients/ABC-LLC"),
        api.get("/nowhere"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_crash_leaks_nothing(
    address: str,
    token: TokenFactory,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 500 is a problem with the request's id; what happened is in the log only."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("with a detail")

    monkeypatch.setattr(Once, "of", broken)
    with caller(address, token("admin")) as client, caplog.at_level(logging.ERROR):
        answer = client.delete("/v1/clients/ABC-LLC", params={"reason": "because"})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (500, "/problems/internal-error")
    assert "with a detail" not in answer.text
    request_id = problem["instance"].removeprefix("urn:handover:request:")
    assert any(request_id in record.getMessage() for record in caplog.records)


def test_a_lost_database_is_503(address: str, token: TokenFactory, services: Services) -> None:
    """A database that cannot be used is a 503 with Retry-After, not a crash."""
    bearer = token("clients:read")
    file = services.settings.data_directory / "handover.db"
    services.database.dispose()
    for part in file.parent.glob("handover.db*"):
        part.unlink()
    file.mkdir()
    with caller(address, bearer) as client:
        answer = client.get("/v1/clients")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable")
    assert answer.headers["Retry-After"]
    file.rmdir()


def test_access_log_holds_no_names(
    api: httpx.Client, abc_llc: Request, caplog: pytest.LogCaptureFixture
) -> None:
    """The access log tells the route, never the path, query or body (PB-02)."""
    with caplog.at_level(logging.INFO, logger="handover"):
        api.post("/v1/clients", json=abc_llc)
        api.get("/v1/clients/ABC-LLC")
        api.get("/v1/clients", params={"name": "Lovelace"})
        api.delete("/v1/clients/ABC-LLC", params={"reason": "Lovelace left"})
        # A line is written once the answer is out, so that the last one may come after it.
        until(lambda: len(access_lines(caplog)) == 4)
    lines = access_lines(caplog)
    assert len(lines) == 4
    assert "GET /v1/clients/{slug} 200" in lines[1]
    assert not any(word in caplog.text for word in ("ABC", "Lovelace", "hnd_"))


def test_problem_types_are_pages(address: str) -> None:
    """Each `type` is the address of its description (RFC 9457)."""
    for kind in problems.CATALOGUE.values():
        page = httpx.get(f"{address}{kind.uri}", trust_env=False)
        assert page.status_code == 200
        assert kind.name in page.text
    assert len(problems.CATALOGUE) >= 25
    assert httpx.get(f"{address}/problems", trust_env=False).status_code == 200
    assert httpx.get(f"{address}/problems/x", trust_env=False).status_code == 404
