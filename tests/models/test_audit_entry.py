"""What may go into the audit chain: ids and codes, never a name, an address or a secret (RX-17)."""

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actors import mint_token
from models.audit_entry import AuditEntry, AuditValueError, check_entry

ENTRY = AuditEntry(
    actor_id="a" * 32,
    action="client.opened",
    object_type="client",
    object_id="b" * 32,
    client_id="b" * 32,
    source_ip="2001:db8::1",
    request_id="c" * 32,
)

PERMITTED: list[Any] = [
    None,
    True,
    0,
    -1,
    2**53 - 1,
    "0123456789abcdef0123456789abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "T-050-003-2026-0001",
    "e" * 64,
    "2026-11-21",
    "2026-11-21T10:00:00.123456+00:00",
    "2026-11-21T10:00:00Z",
    "sp-050-003",
    "awaiting_approval",
    "clients:read",
    "eu-west-3",
    "aws:NoSuchEntity",
    "JD-005",
    "git:" + "0" * 40,
    "git:" + "f" * 64,
    ["open", "closed"],
    [],
]
REFUSED: list[Any] = [
    "",
    "Ada",
    "Ada Lovelace",
    "ABC LLC",
    "ABC-LLC",
    "Lovelace",
    "ada@example.org",
    "Peña",
    "peña",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "hnd_3fJx0cS2kqR9",
    "contract ended",
    "a\n",
    "x" * 65,
    "0" * 40,
    "AKIAIOSFODNN7EXAMPLE\n",
    2**53,
    1.5,
    b"bytes",
    {"nested": 1},
    [["nested"]],
    ["open", "Ada Lovelace"],
    ["a"] * 51,
]


@pytest.mark.parametrize("value", PERMITTED, ids=repr)
def test_ids_and_codes_are_permitted(value: Any) -> None:
    check_entry(replace(ENTRY, data={"value": value}))


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(AuditValueError, match=r"data\['value'\]"):
        check_entry(replace(ENTRY, data={"value": value}))


def test_a_refusal_does_not_repeat_the_value() -> None:
    """The value may be the very secret that has no business there (PB-13)."""
    with pytest.raises(AuditValueError) as raised:
        check_entry(replace(ENTRY, data={"value": "Ada Lovelace"}))
    assert "Ada" not in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actor_id", "ada"),
        ("action", "opened"),
        ("action", "Client.Opened"),
        ("action", "client.opened by Ada"),
        ("object_type", "Client"),
        ("object_id", "ABC-LLC"),
        ("client_id", "ABC-LLC"),
        ("source_ip", "example.org"),
        ("source_ip", "192.0.2.1, 192.0.2.2"),
        ("request_id", "ada-lovelace"),
        ("data", {"Name": 1}),
        ("data", {"ada@example.org": 1}),
        ("data", {f"key_{number}": number for number in range(21)}),
    ],
)
def test_each_field_has_its_shape(field: str, value: Any) -> None:
    with pytest.raises(AuditValueError):
        check_entry(replace(ENTRY, **{field: value}))


@given(st.text(string.ascii_letters + string.digits + "+/", min_size=40, max_size=40))
def test_no_aws_secret_is_taken_for_a_code(secret: str) -> None:
    """A secret access key has 40 characters of base64; no permitted shape has that length."""
    with pytest.raises(AuditValueError):
        check_entry(replace(ENTRY, data={"value": secret}))


def test_no_token_is_taken_for_a_code() -> None:
    for _ in range(1000):
        with pytest.raises(AuditValueError):
            check_entry(replace(ENTRY, data={"value": mint_token().plain}))
