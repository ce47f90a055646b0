"""A record from its input to a PDF, unprotected or protected (SP-15, SP-22, SP-28).

Nothing is written to disk: the file exists in memory only and is never stored.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

import pikepdf
from pikepdf.models.metadata import encode_pdf_date
from pydantic import SecretStr

from pdf.canvas import Canvas
from pdf.catalogue import catalogue
from pdf.command import commands_text
from pdf.credentials import credentials_csv
from pdf.fonts import FontBook, default_fonts
from pdf.layout import lay_out
from pdf.password import SignerName, record_password
from pdf.protection import locked
from pdf.record import RecordInput
from pdf.tags import add_structure
from pdf.template import layout

CREDENTIALS_FILE = "credentials.csv"
COMMANDS_FILE = "commands.txt"
# PDF 1.7 with the extension that AES-256 revision 6 needs, so that protecting changes no more.
PDF_VERSION = ("1.7", 8)


def render(
    record: RecordInput, secret_access_key: SecretStr, *, fonts: FontBook | None = None
) -> bytes:
    """Return the record as an unprotected, tagged PDF with its attachments.

    The same input gives the same bytes. Raises UnprintableTextError where no font has a character
    (ask `FontBook.can_print` first), UnknownLanguageError and UnknownTemplateError.
    """
    written = io.BytesIO()
    with _finished(record, secret_access_key, fonts) as pdf:
        pdf.save(written, deterministic_id=True, min_version=PDF_VERSION)
    return written.getvalue()


def issue(
    record: RecordInput,
    secret_access_key: SecretStr,
    signer: SignerName,
    *,
    fonts: FontBook | None = None,
) -> bytes:
    """Return the record as the PDF that leaves the house: rendered, and locked for the signer.

    Raises PasswordFormError beside what `render` raises.
    """
    password = record_password(signer)
    with _finished(record, secret_access_key, fonts) as pdf:
        return locked(pdf, password)


def fingerprint(pdf: bytes, password: str = "") -> str:
    """Return the SHA-256, in hex, of what a record says, whether protected or not.

    Each protection of the same record gives other bytes; this digest stays the same.
    """
    plain = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf), password=password) as opened:
        opened.save(
            plain,
            deterministic_id=True,
            object_stream_mode=pikepdf.ObjectStreamMode.disable,
        )
    return hashlib.sha256(plain.getvalue()).hexdigest()


@contextmanager
def _finished(
    record: RecordInput, secret: SecretStr, fonts: FontBook | None
) -> Iterator[pikepdf.Pdf]:
    """Draw a record and add what the drawing library does not: structure and attachments."""
    content = layout(record.template_version)(record, secret)
    pages, root = lay_out(content, fonts or default_fonts())
    canvas = Canvas(
        title=content.title,
        author=content.author,
        subject=content.subject,
        language=content.language,
    )
    drawn = canvas.draw(pages, record.issued_local)
    with pikepdf.open(io.BytesIO(drawn)) as pdf:
        add_structure(pdf, root, content.language)
        _attach(pdf, record, secret)
        yield pdf


def _attach(pdf: pikepdf.Pdf, record: RecordInput, secret: SecretStr) -> None:
    """Attach the key as CSV (SP-22) and the commands as text (SP-27)."""
    moment = encode_pdf_date(record.issued_local)
    texts = catalogue(record.language)
    key = credentials_csv(record.user_name, record.access_key_id, secret)
    for name, data, kind in (
        (CREDENTIALS_FILE, key, "text/csv"),
        (COMMANDS_FILE, commands_text(record), "text/plain"),
    ):
        pdf.attachments[name] = pikepdf.AttachedFileSpec(
            pdf,
            data,
            description=texts[f"attachment.{name}"],
            filename=name,
            mime_type=kind,
            creation_date=moment,
            mod_date=moment,
        )
