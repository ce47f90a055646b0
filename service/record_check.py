"""Checks a file that is said to be a record: does it open as the procedure says, and is it one of
ours, unchanged (SP-15, SP-28)."""

import io
import re
from dataclasses import dataclass

import pikepdf
from sqlmodel import Session, col, select

from models.audit import AuditEvent
from models.records import Record
from pdf import PasswordFormError, RecordInput, SignerName, fingerprint, record_password

_NUMBER = re.compile(r"T-050-003-\d{4}-\d{4,9}")
_REVISION = 6
"""Of AES-256 in PDF 2.0."""


class UnreadableFile(ValueError):
    """The file is no PDF that can be read."""


@dataclass(frozen=True)
class RecordCheck:
    """What was found. All but `opens` is unknown, and so false, where the name opens nothing.

    `protected`: locked with AES-256 revision 6, closed to an empty password. `signer_right`: the
    name is the signer's of that version. `hash_known`: it says what was issued, word for word;
    `version` is then the version that does.
    """

    opens: bool = False
    protected: bool = False
    signer_right: bool = False
    number: str | None = None
    number_known: bool = False
    version: int | None = None
    hash_known: bool = False
    sha256: str | None = None

    @property
    def ok(self) -> bool:
        """True where the file is a record of ours, as it was issued."""
        findings = (self.opens, self.protected, self.signer_right, self.number_known)
        return all(findings) and self.hash_known


def check_record(session: Session, file: bytes, signer: str) -> RecordCheck:
    """Check a file with the name of the contract's signer; raises UnreadableFile.

    The name is prepared as readers prepare it, in NFC form and by SASLprep.
    """
    try:
        password = record_password(SignerName(full_name=signer))
    except PasswordFormError:
        return RecordCheck()
    unlocked = _title_number(file, "") is not None
    opening = "" if unlocked else password
    number = _title_number(file, opening)
    if number is None:
        return RecordCheck()
    sha256 = fingerprint(file, opening)
    query = select(Record).where(Record.number == number).order_by(col(Record.version).desc())
    versions = session.exec(query).all()
    same = next((v for v in versions if sha256 in _hashes(session, v)), None)
    judged_by = same or next(iter(versions), None)
    return RecordCheck(
        opens=True,
        protected=not unlocked and _revision(file, opening) == _REVISION,
        signer_right=judged_by is not None and _password_of(judged_by) == password,
        number=number or None,
        number_known=bool(versions),
        version=same.version if same else None,
        hash_known=same is not None,
        sha256=sha256,
    )


def _title_number(file: bytes, password: str) -> str | None:
    """Return the number in the title, empty without one; None where the password opens nothing."""
    try:
        with pikepdf.open(io.BytesIO(file), password=password) as pdf:
            found = _NUMBER.match(str(pdf.docinfo.get("/Title", "")))
            return found[0] if found else ""
    except pikepdf.PasswordError:
        return None
    except pikepdf.PdfError as error:
        raise UnreadableFile("The file is no PDF that can be read.") from error


def _revision(file: bytes, password: str) -> int:
    with pikepdf.open(io.BytesIO(file), password=password) as pdf:
        return int(pdf.encryption.R)


def _hashes(session: Session, record: Record) -> set[str]:
    """Return what the version was issued as, whenever it was: the audit has each download's."""
    query = select(AuditEvent.data).where(
        AuditEvent.object_id == record.number, AuditEvent.action == "record.downloaded"
    )
    downloads = session.exec(query)
    return {told.get("sha256", "") for told in downloads if told["version"] == record.version}


def _password_of(record: Record) -> str:
    frozen = RecordInput.model_validate(record.frozen_input)
    return record_password(SignerName(full_name=frozen.signer_name))
