"""The password is the signer's name, prepared as PDF readers prepare it (SP-28)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pdf import PasswordFormError, SignerName, password_rule, record_password
from pdf.password import saslprep


def test_sp_28_password_is_first_and_last_name() -> None:
    assert record_password(SignerName(first_name="Ada", last_name="Lovelace")) == "Ada Lovelace"


def test_parts_are_joined_by_one_space() -> None:
    signer = SignerName(first_name=" María José ", last_name=" Peña  ")
    assert record_password(signer) == "María José Peña"


def test_full_name_is_never_split() -> None:
    signer = SignerName(full_name="García Márquez, Gabriel")
    assert record_password(signer) == signer.display == "García Márquez, Gabriel"


def test_composed_and_decomposed_accents_give_one_password() -> None:
    composed = SignerName(full_name="Jos\u00e9 Mu\u00f1oz")
    decomposed = SignerName(full_name="Jose\u0301 Mun\u0303oz")
    assert record_password(composed) == record_password(decomposed) == "Jos\u00e9 Mu\u00f1oz"


@pytest.mark.parametrize(
    ("given_text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX")],
)
def test_saslprep_examples_of_rfc_4013(given_text: str, prepared: str) -> None:
    """RFC 4013, section 3."""
    assert saslprep(given_text) == prepared


@pytest.mark.parametrize("forbidden", ["\u0007", "\u06271"])
def test_saslprep_refusals_of_rfc_4013(forbidden: str) -> None:
    """RFC 4013, section 3: a prohibited character, and a failed check of directions."""
    with pytest.raises(PasswordFormError):
        saslprep(forbidden)


def test_no_break_space_becomes_a_space() -> None:
    assert record_password(SignerName(full_name="Ada\u00a0Lovelace")) == "Ada Lovelace"


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        (SignerName(full_name=""), "empty"),
        (SignerName(full_name="\u200b\u00ad"), "empty"),
        (SignerName(first_name="Ada", last_name="  "), "first or last name is empty"),
        (SignerName(full_name="é" * 64), "128 bytes"),
        (SignerName(full_name="Ada\u0007Lovelace"), "U\\+0007"),
        (SignerName(full_name="Ada \ue000"), "U\\+E000"),
        (SignerName(full_name="Ada \u202eLovelace"), "U\\+202E"),
        (SignerName(full_name="Ada \U0001f600"), "U\\+1F600"),
        (SignerName(full_name="אדה Lovelace"), "mixes"),
        (SignerName(full_name="עדה 2"), "begin and end"),
    ],
)
def test_sp_28_refused_names_say_why(signer: SignerName, reason: str) -> None:
    with pytest.raises(PasswordFormError, match=reason) as refusal:
        record_password(signer)
    assert signer.display not in refusal.value.reason or not signer.display


def test_longest_password_is_allowed() -> None:
    assert len(record_password(SignerName(full_name="é" * 63 + "x")).encode()) == 127


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"first_name": "Ada"},
        {"first_name": "Ada", "last_name": "Lovelace", "full_name": "Ada Lovelace"},
    ],
)
def test_a_name_has_one_form(parts: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="first_name and last_name, or full_name"):
        SignerName(**parts)


def test_the_rule_is_stated_without_the_value() -> None:
    assert "signed the contract" in password_rule("en")
    assert "firmó el contrato" in password_rule("es")


@given(st.text(max_size=80))
def test_any_text_is_prepared_once_and_for_all_or_refused(text: str) -> None:
    """Preparing what was prepared changes nothing, so that a reader gets the same password."""
    try:
        password = record_password(SignerName(full_name=text))
    except PasswordFormError:
        return
    assert saslprep(password) == password
    assert 0 < len(password.encode()) <= 127
