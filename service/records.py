"""The record's office: gives numbers and versions, and issues the protected PDF.

The PDF is rendered on demand and never stored (SP-15, SP-28, PB-13).
"""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr
from sqlmodel import Session, col, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import append_audit
from models.audit_entry import AuditEntry
from models.base import utc_now
from models.clients import Client, ClientState
from models.operations import Operation
from models.records import PasswordForm, Record, next_record_number
from models.sealing import Keyring
from pdf import (
    FontBook,
    RecordInput,
    SignerName,
    default_fonts,
    fingerprint,
    password_rule,
    protect,
    record_password,
    render,
)
from pdf.fonts import SYSTEM_FOLDERS
from service.delivery.words import new_code
from service.freezing import Endpoint, Numbering, freeze, same_words, signed_contract
from service.settings import SIGNER_NAME, Settings
from service.wishes import Requester

log = logging.getLogger(__name__)

_AND_CODE = " Then a space and the record's code of six words."
_NO_KEY_YET = (ClientState.opening, ClientState.failed)
_KEY_DEAD = (ClientState.closing, ClientState.closed)


SIGNER_NAME_WARNING = (
    "The signer's name is public, and about 200 guesses a second can be tried on a copy of the "
    "file: send it by another channel than the name, or set HANDOVER_PASSWORD_RULE to "
    "signer-name-and-code."
)
"""What the procedure's password rule (SP-28) is worth."""


class RecordNotReady(LookupError):
    """The client has no record with a working key yet; the message says why."""


class RecordGone(LookupError):
    """The record's key is dead or its secret erased; the message says which."""


@dataclass(frozen=True)
class IssuedRecord:
    """A protected PDF on its way out, with what its receiver has to be told.

    `sha256` is `pdf.fingerprint` of it; `password_rule` is the form of the password in English, and
    `password_warning` what it is worth where that is little.
    """

    pdf: bytes = field(repr=False)
    record_id: str
    number: str
    version: int
    filename: str
    sha256: str
    password_rule: str
    password_warning: str | None


class RecordOffice:
    """Makes and issues records, with the fonts that it was started with."""

    def __init__(self, settings: Settings, keyring: Keyring, endpoint: Endpoint) -> None:
        self._settings = settings
        self._keyring = keyring
        self._endpoint = endpoint
        self._fonts = fonts_of(settings)

    def can_print(self, text: str) -> list[str]:
        """Return the characters of a text that no font of this office prints; [] if none."""
        return self._fonts.can_print(text)

    def create(
        self, session: Session, operation: Operation, client: Client, key: AccessKey
    ) -> Record:
        """Return the key's record; a new one gets its number in the caller's transaction."""
        mine = select(Record).where(Record.access_key_row_id == key.id)
        existing = session.exec(mine.order_by(col(Record.version).desc())).first()
        if existing is not None:
            return existing
        issued_at = utc_now()
        today = issued_at.astimezone(self._settings.zone).date()
        sequence = next_record_number(session, today.year)
        numbering = Numbering(today.year, sequence, 1, issued_at, today)
        frozen = self._freeze(session, client, key, numbering)
        by = operation.requested_by
        return self._write(session, frozen, client, key, numbering, by, code=self._first_code())

    def revise(
        self, session: Session, client: Client, actor_id: str, *, always: bool = False
    ) -> Record | None:
        """Return the next version of the client's newest record: same number, same key.

        It is frozen anew from the client's rows, the settings and the template in force. None
        where it would say what the last version says, unless `always`. The caller holds the
        client's row. Raises RecordGone when no key works.
        """
        record, key = _newest(session, client)
        last = RecordInput.model_validate(record.frozen_input)
        first = Numbering(record.year, record.sequence, 1, record.issued_at, last.valid_from)
        numbering = replace(first, version=record.version + 1, issued_at=utc_now())
        frozen = self._freeze(session, client, key, numbering)
        if same_words(frozen, last) and not always:
            return None
        # The same code opens it, so that nobody has to hand one over again.
        code = self._code_of(record)
        made = self._write(session, frozen, client, key, numbering, actor_id, code=code)
        made.code_shown_at = record.code_shown_at
        return made

    def issue_pdf(
        self, session: Session, client: Client, number: str | None = None
    ) -> IssuedRecord:
        """Return the newest version of the client's newest record, or of the one with this number,
        as a protected PDF.

        Tell `note_issue` before it leaves the house. Raises RecordNotReady before a key works and
        RecordGone when it no longer does.
        """
        _check_state(client)
        record, key = _newest(session, client, number)
        secret = key.open_secret(self._keyring)
        if secret is None:
            raise RecordGone(_forgotten(client))
        frozen = RecordInput.model_validate(record.frozen_input)
        password = self._password(record, frozen)
        plain = render(frozen, SecretStr(secret), fonts=self._fonts)
        return IssuedRecord(
            pdf=protect(plain, password),
            record_id=record.id,
            number=record.number,
            version=record.version,
            filename=f"{record.number}-v{record.version}-{client.slug}.pdf",
            sha256=fingerprint(plain),
            password_rule=password_rule("en") + ("" if record.code is None else _AND_CODE),
            password_warning=SIGNER_NAME_WARNING if record.code is None else None,
        )

    def _password(self, record: Record, frozen: RecordInput) -> str:
        # The frozen name is the password's own form already, for either form of the signer.
        name = record_password(SignerName(full_name=frozen.signer_name))
        code = self._code_of(record)
        return name if code is None else f"{name} {code}"

    def _write(
        self,
        session: Session,
        frozen: RecordInput,
        client: Client,
        key: AccessKey,
        numbering: Numbering,
        actor_id: str,
        *,
        code: str | None,
    ) -> Record:
        record = _write(session, frozen, client, key, numbering, actor_id)
        if code is not None:
            record.code = self._keyring.seal(code, aad=record.code_associated_data)
        return record

    def _first_code(self) -> str | None:
        return None if self._settings.password_rule == SIGNER_NAME else new_code()

    def _code_of(self, record: Record) -> str | None:
        if record.code is None:
            return None
        return self._keyring.open(record.code, aad=record.code_associated_data)

    @staticmethod
    def deliverable_key(session: Session, client: Client) -> AccessKey:
        """Return the key that the client's newest record hands over.

        Raises RecordNotReady before it works and RecordGone when it, or its secret, is gone.
        """
        _check_state(client)
        _, key = _newest(session, client)
        if key.secret is None:
            raise RecordGone(_forgotten(client))
        return key

    @staticmethod
    def newest_record(session: Session, client: Client) -> Record:
        """Return the client's newest record; raises RecordNotReady and RecordGone."""
        _check_state(client)
        return _newest(session, client)[0]

    def _freeze(
        self, session: Session, client: Client, key: AccessKey, numbering: Numbering
    ) -> RecordInput:
        return freeze(session, self._settings, self._endpoint, client, key, numbering)


def fonts_of(settings: Settings) -> FontBook:
    """Return the fonts that records may use: the packaged ones, the settings', the system's."""
    if not settings.font_directories:
        return default_fonts()
    return FontBook((*settings.font_directories, *SYSTEM_FOLDERS))


def note_issue(
    session: Session, client: Client, issued: IssuedRecord, requester: Requester, **data: Any
) -> None:
    """Write down that a record leaves the house.

    What is issued first gives the version its SHA-256. A later issue with another one, as a change
    of fonts or of the program can bring about, is an alarm in log and audit and no refusal: the
    client needs its key, and what it got stays provable, as each download is noted with the hash
    of what it carried (RX-17).
    """
    record = session.get_one(Record, issued.record_id, with_for_update=True)
    told = {"version": issued.version, "sha256": issued.sha256}
    if record.sha256 is None:
        record.sha256 = issued.sha256
    elif record.sha256 != issued.sha256:
        log.error("%s version %s is not what was issued first", issued.number, issued.version)
        first = told | {"first_sha256": record.sha256}
        _tell(session, client, issued, requester, "record.differs", first)
    _tell(session, client, issued, requester, "record.downloaded", told | data)


def _tell(
    session: Session,
    client: Client,
    issued: IssuedRecord,
    requester: Requester,
    action: str,
    data: dict[str, Any],
) -> None:
    append_audit(
        session,
        AuditEntry(
            actor_id=requester.actor_id,
            action=action,
            object_type="record",
            object_id=issued.number,
            client_id=client.id,
            source_ip=requester.source_ip,
            request_id=requester.audited_request_id,
            data=data,
        ),
    )


def _forgotten(client: Client) -> str:
    return (
        f"The secret of {client.slug}'s key is no longer kept: it reached its people. Rotate the "
        f"key (POST /v1/clients/{client.slug}/rotate) to hand out a new one."
    )


def _check_state(client: Client) -> None:
    state = client.state.value
    if client.state in _NO_KEY_YET:
        raise RecordNotReady(f"The area of {client.slug} is {state}: it has no working key yet.")
    if client.state in _KEY_DEAD:
        raise RecordGone(f"The area of {client.slug} is {state}: its key is dead.")


def _newest(
    session: Session, client: Client, number: str | None = None
) -> tuple[Record, AccessKey]:
    query = (
        select(Record, AccessKey)
        .join(AccessKey, col(AccessKey.id) == col(Record.access_key_row_id))
        .where(Record.client_id == client.id, AccessKey.status == AccessKeyStatus.active)
        # A key that was not seen to work is handed to nobody: a rotation may still take it back.
        .where(col(AccessKey.proven_at).is_not(None))
        .order_by(col(AccessKey.generation).desc(), col(Record.version).desc())
    )
    if number is not None:
        query = query.where(Record.number == number)
    found = session.exec(query).first()
    if found is None:
        if _is_unproven(session, client):
            raise RecordNotReady(f"The new key of {client.slug} was not seen to work yet.")
        raise RecordGone(f"No key of {number or client.slug} works any more.")
    return found[0], found[1]


def _is_unproven(session: Session, client: Client) -> bool:
    unproven = select(AccessKey.id).where(
        AccessKey.client_id == client.id,
        AccessKey.status == AccessKeyStatus.active,
        col(AccessKey.proven_at).is_(None),
    )
    return session.exec(unproven).first() is not None


def _write(
    session: Session,
    frozen: RecordInput,
    client: Client,
    key: AccessKey,
    numbering: Numbering,
    actor_id: str,
) -> Record:
    _, signer = signed_contract(session, client)
    in_full = signer.full_name is not None
    record = Record(
        number=frozen.number,
        year=numbering.year,
        sequence=numbering.sequence,
        client_id=client.id,
        access_key_row_id=key.id,
        version=frozen.version,
        template_version=frozen.template_version,
        frozen_input=frozen.model_dump(mode="json"),
        password_form=PasswordForm.full_name if in_full else PasswordForm.first_last,
        issued_at=frozen.issued_at,
        issued_by=actor_id,
    )
    session.add(record)
    return record
