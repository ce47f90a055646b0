"""The password of a record: the name of the person who signed the contract (SP-28).

PDF 2.0 (ISO 32000-2, 7.6.4.3.3) has passwords prepared with SASLprep (RFC 4013) and cut at 127
bytes of UTF-8. The library that encrypts does neither, so both are done here, and a longer password
is refused: it would make a file that nothing opens.
"""

import stringprep
import unicodedata
from typing import Self

from pydantic import model_validator

from pdf.catalogue import catalogue
from pdf.record import Frozen

MAXIMUM_BYTES = 127
_UNICODE_3_2 = unicodedata.ucd_3_2_0

# RFC 4013 section 2.3, tables of RFC 3454.
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class PasswordFormError(ValueError):
    """A signer's name that no password can be made of; `reason` says why, without the name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignerName(Frozen):
    """A signer's name, either in two parts or as one `full_name` that is never split."""

    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        parts = (self.first_name, self.last_name)
        if self.full_name is None and None in parts:
            raise ValueError("give first_name and last_name, or full_name")
        if self.full_name is not None and parts != (None, None):
            raise ValueError("give first_name and last_name, or full_name, not both")
        return self

    @property
    def display(self) -> str:
        """The name as it is printed: `First Last`, or the full name as given; in NFC form."""
        if self.full_name is not None:
            name = self.full_name.strip()
        else:
            name = f"{(self.first_name or '').strip()} {(self.last_name or '').strip()}".strip()
        return unicodedata.normalize("NFC", name)


def record_password(signer: SignerName) -> str:
    """Return the password of a record for this signer, prepared with SASLprep (SP-28).

    Raises PasswordFormError where the name is empty, has a part that is empty, is longer than
    127 bytes in UTF-8 or holds characters that SASLprep forbids.
    """
    if signer.full_name is None and not (
        (signer.first_name or "").strip() and (signer.last_name or "").strip()
    ):
        raise PasswordFormError("the signer's first or last name is empty")
    password = saslprep(signer.display)
    if not password.strip():
        raise PasswordFormError("the signer's name is empty")
    size = len(password.encode())
    if size > MAXIMUM_BYTES:
        raise PasswordFormError(
            f"the signer's name has {size} bytes in UTF-8; a PDF password has at most "
            f"{MAXIMUM_BYTES}"
        )
    return password


def password_rule(language: str) -> str:
    """Return the form of the password in words, never its value (SP-28, PB-13)."""
    return catalogue(language)["password.rule"]


def saslprep(text: str) -> str:
    """Prepare a text as a stored string (RFC 4013); raises PasswordFormError if forbidden."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = _UNICODE_3_2.normalize("NFKC", mapped)
    for char in prepared:
        if any(table(char) for table in _PROHIBITED):
            raise PasswordFormError(f"the signer's name holds {_named(char)}, which is forbidden")
        if stringprep.in_table_a1(char):
            raise PasswordFormError(
                f"the signer's name holds {_named(char)}, which PDF passwords do not know"
            )
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    """Refuse what RFC 3454 section 6 forbids: directions mixed in one string."""
    if not any(stringprep.in_table_d1(char) for char in text):
        return
    if any(stringprep.in_table_d2(char) for char in text):
        raise PasswordFormError(
            "the signer's name mixes right-to-left and left-to-right letters, which PDF passwords "
            "forbid"
        )
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise PasswordFormError(
            "a right-to-left signer's name must begin and end with a right-to-left letter"
        )


def _named(char: str) -> str:
    return f"U+{ord(char):04X}"
