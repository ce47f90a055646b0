"""One attempt: the signature, what counts as success, and connections to checked addresses."""

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network
from typing import Any

import pytest
import trustme

from service.outgoing.destinations import Destinations, FakeResolver
from service.outgoing.sending import Message, Outcome, Sender, headers_of
from tests.service.outgoing.receiver import Received, Receiver, receiving, signature, signatures

LOOPBACK = (IPv4Network("127.0.0.0/8"),)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = datetime(2026, 11, 21, 12, 30, 15, 900000, tzinfo=UTC)
MESSAGE = Message("msg_1", '{"type":"record.ready"}')


def sender(*, time_limit: float = 60.0) -> Sender:
    """A sender to loopback."""
    return Sender(Destinations(("127.0.0.1", "localhost"), LOOPBACK), time_limit=time_limit)


def send(receiver: Receiver, *, time_limit: float = 60.0) -> Outcome:
    """Send the message to the receiver."""
    return sender(time_limit=time_limit).send(f"{receiver.url}/hook?a=1", MESSAGE, [SECRET], AT)


def test_the_published_vector() -> None:
    """The specification's own example, https://www.standardwebhooks.com."""
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}')
    headers = headers_of(message, [SECRET], datetime.fromtimestamp(1614265330, UTC))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_a_message_arrives_signed(receiver: Receiver) -> None:
    """The receiver's own computation of the signature agrees."""
    assert send(receiver) == Outcome(delivered=True, status=200)
    [request] = receiver.received
    assert (request.path, request.id, request.body) == (
        "/hook?a=1",
        "msg_1",
        MESSAGE.body.encode(),
    )
    assert request.headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == receiver.url.removeprefix("http://")
    assert signatures(request) == [signature(SECRET, request)]


def test_two_secrets_sign_while_they_overlap(receiver: Receiver) -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    sender().send(receiver.url, MESSAGE, [SECRET, other], AT)
    [request] = receiver.received
    assert signatures(request) == [signature(SECRET, request), signature(other, request)]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    assert send(receiver) == Outcome(delivered=True, status=status)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
def test_anything_else_is_failure(receiver: Receiver, status: int) -> None:
    """A redirect is not followed: it could lead anywhere."""
    receiver.statuses = [status]
    outcome = send(receiver)
    assert (outcome.delivered, outcome.status) == (False, status)
    assert outcome.reason is not None
    assert outcome.reason.startswith(f"answered {status}")
    assert ("redirects are not followed" in outcome.reason) is (status < 400)
    assert len(receiver.received) == 1


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Answer one byte at a time, for ever."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-drip: ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)


def hang(_handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing for a while."""
    time.sleep(30)


@pytest.mark.parametrize("answer", [drip, hang])
def test_a_slow_receiver_is_cut_off(receiver: Receiver, answer: Any) -> None:
    """The limit counts for the whole attempt, not for each byte."""
    receiver.answer = answer
    outcome = send(receiver, time_limit=0.5)
    assert outcome == Outcome(delivered=False, reason="no answer within 0.5 seconds")


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Answer 200 and a body without an end."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 65536)


def test_an_endless_body_is_not_read(receiver: Receiver) -> None:
    receiver.answer = endless
    started = time.monotonic()
    assert send(receiver) == Outcome(delivered=True, status=200)
    assert time.monotonic() - started < 30


def noise(handler: BaseHTTPRequestHandler) -> None:
    """Answer what is no HTTP."""
    handler.wfile.write(b"\x00\x01 nothing of the kind\r\n\r\n")


def large_headers(handler: BaseHTTPRequestHandler) -> None:
    """Answer headers beyond any measure."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            handler.wfile.write(b"x-%d: %s\r\n" % (number, b"y" * 200))


def leave(handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing and go."""
    handler.connection.close()


@pytest.mark.parametrize("answer", [noise, large_headers, leave])
def test_odd_answers_are_failures(receiver: Receiver, answer: Any) -> None:
    receiver.answer = answer
    outcome = send(receiver)
    assert not outcome.delivered
    assert outcome.reason in {"the answer was not HTTP", "the connection failed"}


def test_nobody_there_is_a_failure(receiver: Receiver) -> None:
    with receiving() as gone:
        url = gone.url
    outcome = sender().send(url, MESSAGE, [SECRET], AT)
    assert outcome == Outcome(delivered=False, reason="the connection was refused")


def test_the_environments_proxy_is_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect to wherever the name leads, unchecked."""
    with receiving() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert send(receiver).delivered
        assert proxy.received == []
    assert len(receiver.received) == 1


def test_a_name_that_turns_inside_is_refused_the_next_time(receiver: Receiver) -> None:
    """DNS rebinding: each attempt resolves and checks anew; each connects to what it checked."""
    resolver = FakeResolver({"hooks.example.com": [["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]]})
    rules = Destinations(("hooks.example.com",), LOOPBACK, resolver)
    url = f"http://hooks.example.com:{receiver.port}/"
    outcomes = [Sender(rules).send(url, MESSAGE, [SECRET], AT) for _ in range(3)]
    assert [outcome.delivered for outcome in outcomes] == [True, False, True]
    assert "10.0.0.1" in str(outcomes[1].reason)
    # Asked once an attempt: a second question could have had another answer.
    assert resolver.asked == ["hooks.example.com"] * 3
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"


def test_the_next_address_is_tried(receiver: Receiver) -> None:
    """Of several addresses one that answers is enough."""
    resolver = FakeResolver({"hooks.example.com": [["127.0.0.2", "127.0.0.1"]]})
    rules = Destinations(("hooks.example.com",), LOOPBACK, resolver)
    url = f"http://hooks.example.com:{receiver.port}/"
    assert Sender(rules).send(url, MESSAGE, [SECRET], AT).delivered


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of the tests."""
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[tuple[Receiver, list[str | None]]]:
    """A receiver with a certificate for hooks.example.com, and the names that it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example.com").configure_cert(context)
    asked: list[str | None] = []

    def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        asked.append(name)

    context.sni_callback = note
    with receiving(context) as running:
        yield running, asked


def secure_sender(authority: trustme.CA) -> Sender:
    """A sender that trusts the authority, to names at 127.0.0.1."""
    names = ("hooks.example.com", "other.example.com")
    resolver = FakeResolver({name: [["127.0.0.1"]] for name in names})
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return Sender(Destinations(names, LOOPBACK, resolver), tls=trusting, time_limit=5)


def test_tls_asks_for_the_name_at_the_checked_address(
    secure: tuple[Receiver, list[str | None]], authority: trustme.CA
) -> None:
    """SNI and certificate are those of the name, though the connection goes to an address."""
    receiver, asked = secure
    url = f"https://hooks.example.com:{receiver.port}/"
    assert secure_sender(authority).send(url, MESSAGE, [SECRET], AT).delivered
    assert asked == ["hooks.example.com"]


def test_a_certificate_of_another_name_is_refused(
    secure: tuple[Receiver, list[str | None]], authority: trustme.CA
) -> None:
    receiver, _ = secure
    url = f"https://other.example.com:{receiver.port}/"
    outcome = secure_sender(authority).send(url, MESSAGE, [SECRET], AT)
    assert "certificate" in str(outcome.reason)
    assert receiver.received == []


def test_an_unknown_authority_is_refused(
    secure: tuple[Receiver, list[str | None]], authority: trustme.CA
) -> None:
    receiver, _ = secure
    outcome = secure_sender(trustme.CA()).send(
        f"https://hooks.example.com:{receiver.port}/", MESSAGE, [SECRET], AT
    )
    assert "certificate" in str(outcome.reason)
    assert receiver.received == []


def test_the_verifier_of_the_tests_is_no_yes_man(receiver: Receiver) -> None:
    """Another body or another secret makes another signature."""
    send(receiver)
    [request] = receiver.received
    changed = Received(request.path, request.headers, json.dumps({"type": "x"}).encode())
    assert signature(SECRET, changed) not in signatures(request)
    assert signature("whsec_AAAA", request) not in signatures(request)
