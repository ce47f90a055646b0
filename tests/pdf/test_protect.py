"""The lock: AES-256 revision 6, the signer's name and nothing else (SP-28)."""

import io

import pikepdf
import pypdf
import pypdfium2  # type: ignore[import-untyped]  # it ships no types
import pytest

from pdf import SignerName, WrongPasswordError, attachments, issue, protect, record_password, render
from tests.pdf.records import SECRET, SIGNER, make_record, pages_of, pdftotext, poppler_text


@pytest.fixture(scope="module")
def locked() -> bytes:
    return issue(make_record(), SECRET, SIGNER)


def test_sp_28_lock_is_aes_256_revision_6_with_metadata_locked(locked: bytes) -> None:
    with pikepdf.open(io.BytesIO(locked), password="Ada Lovelace") as pdf:
        assert pdf.encryption.R == 6
        assert pdf.encryption.V == 5
        assert pdf.encryption.bits == 256
        assert pdf.encryption.stream_method == pikepdf.models.EncryptionMethod.aesv3
        assert pdf.encryption.string_method == pikepdf.models.EncryptionMethod.aesv3
        assert pdf.encryption.file_method == pikepdf.models.EncryptionMethod.aesv3
        encrypt = pdf.trailer.Encrypt
        assert encrypt.get("/EncryptMetadata", True)


@pytest.mark.parametrize(
    "wrong", ["", "ada lovelace", "Ada  Lovelace", "AdaLovelace", "Ada Lovelace ", "owner"]
)
def test_sp_28_no_other_password_opens_it(locked: bytes, wrong: str) -> None:
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(io.BytesIO(locked), password=wrong)
    assert pypdf.PdfReader(io.BytesIO(locked)).decrypt(wrong) == pypdf.PasswordType.NOT_DECRYPTED
    assert pdftotext(locked, wrong).returncode != 0
    with pytest.raises(pypdfium2.PdfiumError, match="password"):
        pypdfium2.PdfDocument(locked, password=wrong)
    with pytest.raises(WrongPasswordError):
        attachments(locked, wrong)


def test_the_signer_is_not_the_owner(locked: bytes) -> None:
    """The name opens the file as its user; the owner's password is random and unknown."""
    reader = pypdf.PdfReader(io.BytesIO(locked))
    assert reader.decrypt("Ada Lovelace") == pypdf.PasswordType.USER_PASSWORD


@pytest.mark.parametrize(
    "name",
    [
        "José Ángel Núñez",
        "María del Carmen Fernández-Villaverde González",
        "Юлия Сергеевна Ёлкина",
        "Ελένη Παπαδοπούλου",
        "فاطمة الزهراء",
        "עדה לאבלייס",
        "Đặng Thị Hường",
        "山田太郎",
        "é" * 63 + "x",
    ],
)
def test_sp_28_readers_of_four_makers_open_names_of_many_scripts(name: str) -> None:
    """Qpdf, pypdf, pdfium (Chromium's) and poppler; the password is typed in NFC form."""
    signer = SignerName(full_name=name)
    locked = protect(render(make_record(), SECRET), record_password(signer))
    with pikepdf.open(io.BytesIO(locked), password=signer.display) as pdf:
        assert len(pdf.pages) == 4
    assert "T-050-003-2026-0001" in pages_of(locked, signer.display)[0]
    with pypdfium2.PdfDocument(locked, password=signer.display) as document:
        assert "T-050-003-2026-0001" in document[0].get_textpage().get_text_range()
    # Poppler's programs, not its library, cut a password on their command line at 32 bytes.
    if len(signer.display.encode()) <= 32:
        assert "T-050-003-2026-0001" in poppler_text(locked, signer.display)


def test_nothing_of_the_record_is_readable_without_the_password(locked: bytes) -> None:
    """No title, no name and no key in clear; PB-13."""
    for clear in ("Data access key", "T-050-003", "ABC", "Example Health", "Lovelace", "AKIA"):
        assert clear.encode() not in locked
        assert clear.encode("utf-16-be") not in locked
    assert SECRET.get_secret_value().encode() not in locked


def test_each_protection_differs(locked: bytes) -> None:
    """Keys, salts and owner passwords are never used twice."""
    assert issue(make_record(), SECRET, SIGNER) != locked


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ValueError, match="empty password"):
        protect(render(make_record(), SECRET), "")
