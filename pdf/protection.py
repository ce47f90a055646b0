"""The lock on a record: AES-256, opened by the signer's name and by nothing else (SP-28)."""

import io
import secrets

import pikepdf


class WrongPasswordError(ValueError):
    """The password does not open the file."""

    def __init__(self) -> None:
        super().__init__("the password does not open this PDF")


def protect(pdf: bytes, password: str) -> bytes:
    """Return a PDF locked as `locked` says."""
    with pikepdf.open(io.BytesIO(pdf)) as document:
        return locked(document, password)


def locked(document: pikepdf.Pdf, password: str) -> bytes:
    """Return a PDF encrypted with AES-256 (revision 6), its metadata included.

    The owner password is random and forgotten: an empty one, or none, would make a file that opens
    without any password. `password` must come from `pdf.password.record_password`. Raises
    ValueError if it is empty.
    """
    if not password:
        raise ValueError("an empty password protects nothing")
    lock = pikepdf.Encryption(
        user=password, owner=secrets.token_urlsafe(48), R=6, aes=True, metadata=True
    )
    written = io.BytesIO()
    document.save(written, encryption=lock, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return written.getvalue()


def attachments(pdf: bytes, password: str) -> dict[str, bytes]:
    """Return the files attached inside a protected PDF, by name; raises WrongPasswordError."""
    try:
        with pikepdf.open(io.BytesIO(pdf), password=password) as document:
            return {
                name: attached.get_file().read_bytes()
                for name, attached in document.attachments.items()
            }
    except pikepdf.PasswordError as error:
        raise WrongPasswordError from error
