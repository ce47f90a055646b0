"""Signatures: published vectors, every way of being wrong, any bytes whatever."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.webhooks import WebhookKind
from service.webhooks.catalogue import KINDS
from service.webhooks.verifiers import (
    BasicAuthentication,
    BodyHmac,
    Delivery,
    HubSpotV3,
    StandardWebhooks,
)
from tests.service.webhooks.tools import BASE_URL, TOOLS, Contract, Signed, Tool, sign_standard

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = {"standard": WHSEC}
URL = f"{BASE_URL}/v1/webhooks/0f8c6f0d7c2b4a7f9f5e1c2d3b4a5968"
CONTRACT = Contract("ABC LLC", "DPA-2026-014")
NOW = datetime.now(UTC)


def secret_of(tool: Tool) -> str:
    return SECRETS.get(tool.kind, "a secret of the test")


def delivered(signed: Signed, **changes: Any) -> Delivery:
    """The delivery as the service sees it."""
    headers = {name.lower(): value for name, value in signed.headers.items()}
    made = Delivery(signed.content, headers, signed.params, URL, datetime.now(UTC))
    return replace(made, **changes)


def accepts(tool: Tool, delivery: Delivery, *secrets: str) -> bool:
    kind = KINDS[WebhookKind(tool.kind)]
    return kind.verifier.accepts(delivery, list(secrets) or [secret_of(tool)], kind.username)


def good(tool: Tool) -> Delivery:
    return delivered(tool.sign(secret_of(tool), tool.event(CONTRACT), URL))


def test_the_published_vector_of_zoho_sign() -> None:
    """help.zoho.com, "Securing Zoho Sign webhooks with HMAC": payload, key and signature."""
    body = (
        b'{{"requests":{"request_name":"Test Name"},'
        b'"notifications":{"operation_type":"RequestSigningSuccess"}}'
    )
    headers = {"x-zs-webhook-signature": "drbSrM4H816RYKpZiRBLddUa0yHaTrwjtY04sIZFZus="}
    verifier = BodyHmac("header", "x-zs-webhook-signature", "base64")
    delivery = Delivery(body, headers, {}, None, NOW)
    assert verifier.accepts(delivery, ["thisisthesamplekeyfortestingpurposes"], None)
    assert not verifier.accepts(replace(delivery, body=body + b" "), ["x"], None)


@pytest.mark.parametrize(
    ("stamp", "signature"),
    [
        (1693657560000, "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        (1700000300000, "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
    ],
)
def test_the_vectors_of_hubspots_own_clients(stamp: int, signature: str) -> None:
    """hubspot-api-python and hubspot-api-ruby, tests of signature version 3."""
    delivery = Delivery(
        body=b"{'example_field':'example_value'}",
        headers={
            "x-hubspot-signature-v3": signature,
            "x-hubspot-request-timestamp": str(stamp),
        },
        query={},
        uri="https://www.example.com/webhook_uri",
        at=datetime.fromtimestamp(stamp / 1000 + 200, UTC),
    )
    secrets = ["yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"]
    assert HubSpotV3().accepts(delivery, secrets, None)
    for seconds in (-301, 301):
        moved = datetime.fromtimestamp(stamp / 1000 + seconds, UTC)
        assert not HubSpotV3().accepts(replace(delivery, at=moved), secrets, None)
    for uri in ("http://www.example.com/webhook_uri", "https://www.example.com/webhook_uri/", None):
        assert not HubSpotV3().accepts(replace(delivery, uri=uri), secrets, None)


def test_the_test_signs_as_the_vector_of_standard_webhooks() -> None:
    """standardwebhooks.com: the vector is too old to be accepted, so it checks the signer."""
    signed = sign_standard(
        WHSEC,
        b'{"test": 2432232314}',
        at=1614265330,
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
    )
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed.headers["webhook-signature"] == expected
    assert not StandardWebhooks().accepts(delivered(signed), [WHSEC], None)


def test_what_hubspot_decodes_is_decoded_and_nothing_else() -> None:
    """HubSpot, validating requests: the table of characters of the URI."""
    query = "?src=hs%3Aapp%2Fv3&x=%28a%29&kept=%20%26"
    decoded = "?src=hs:app/v3&x=(a)&kept=%20%26"
    hubspot = next(tool for tool in TOOLS if tool.kind == "hubspot")
    signed = hubspot.sign(secret_of(hubspot), [], URL + decoded)
    assert accepts(hubspot, delivered(signed, uri=URL + query))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
def test_each_tool_is_accepted_and_nobody_else(tool: Tool) -> None:
    """Also with an older secret beside the new one; never with none, or with somebody else's."""
    assert accepts(tool, good(tool))
    other = f"whsec_{'B' * 32}" if tool.kind == "standard" else "another secret here"
    assert accepts(tool, good(tool), other, secret_of(tool))
    assert not accepts(tool, good(tool), other)
    assert not accepts(tool, replace(good(tool), headers={}, query={}))


SIGNING = [tool for tool in TOOLS if tool.kind != "pipedrive"]


@pytest.mark.parametrize("tool", SIGNING, ids=lambda tool: tool.kind)
def test_a_changed_body_is_refused(tool: Tool) -> None:
    """Over the raw bytes: white space that JSON would not see is a change too."""
    signed = good(tool)
    for body in (signed.body + b" ", signed.body[:-1], b"", signed.body.replace(b"ABC", b"ABD")):
        if body != signed.body:
            assert not accepts(tool, replace(signed, body=body))


@pytest.mark.parametrize("kind", ["standard", "hubspot"])
@pytest.mark.parametrize(
    ("seconds", "fine"), [(-290, True), (290, True), (-310, False), (310, False)]
)
def test_clocks_may_differ_by_five_minutes(kind: str, seconds: int, fine: bool) -> None:
    tool = next(tool for tool in TOOLS if tool.kind == kind)
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).timestamp()
    signed = tool.sign(secret_of(tool), tool.event(CONTRACT), URL, at=at)
    assert accepts(tool, delivered(signed)) is fine


def test_basic_needs_its_user_name_too() -> None:
    verifier = BasicAuthentication()
    right = {"authorization": "Basic aGFuZG92ZXI6c2VjcmV0"}
    delivery = Delivery(b"", right, {}, None, NOW)
    assert verifier.accepts(delivery, ["secret"], "handover")
    assert not verifier.accepts(delivery, ["secret"], "somebody")
    assert not verifier.accepts(delivery, ["secret"], None)
    for header in ("Bearer aGFuZG92ZXI6c2VjcmV0", "Basic", "Basic ", "aGFuZG92ZXI6c2VjcmV0"):
        spoilt = replace(delivery, headers={"authorization": header})
        assert not verifier.accepts(spoilt, ["secret"], "handover")


HEADERS = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-hubspot-signature-v3",
    "x-hubspot-request-timestamp",
    "x-docusign-signature-1",
    "x-zs-webhook-signature",
    "authorization",
]
shapes = st.one_of(
    st.binary(max_size=40).map(lambda data: data.decode("latin-1")),
    st.sampled_from(["v1,", "v1,===", "v1,a b,c", "v1", "1614265330", "nan", "1e400", "-1", "²"]),
)


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=200),
    headers=st.dictionaries(st.sampled_from(HEADERS), shapes),
    signature=st.text(max_size=80),
)
def test_any_bytes_are_refused_without_an_error(
    body: bytes, headers: dict[str, str], signature: str
) -> None:
    """Never an exception, whatever the headers, the query and the body hold."""
    delivery = Delivery(body, headers, {"signature": signature}, URL, NOW)
    for tool in TOOLS:
        assert not accepts(tool, delivery)
        stamped = {**headers, "webhook-id": "x", "webhook-timestamp": str(int(NOW.timestamp()))}
        assert not accepts(tool, replace(delivery, headers=stamped))
