"""The record's office: gives numbers, freezes what a record says, issues the protected PDF.

The PDF is rendered on demand and never stored (SP-15, SP-28, PB-13).
"""

from dataclasses import dataclass, field
from datetime import datetime

from pydantic import SecretStr
from sqlmodel import Session, col, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client, Contract, Signer
from models.operations import Operation
from models.records import PasswordForm, Record, next_record_number, record_number
from models.sealing import Keyring
from pdf import Organisation, RecordInput, SignerName, issue, password_rule
from service.settings import Settings

TEMPLATE_VERSION = "1"
"""Version of the T-050-003 template that new records are made under (SP-08)."""


class RecordNotReady(LookupError):
    """The client has no record with a working key (yet, or any more)."""


@dataclass(frozen=True)
class IssuedRecord:
    """A protected PDF on its way out, with what its receiver has to be told."""

    pdf: bytes = field(repr=False)
    number: str
    version: int
    filename: str
    password_rule: str


@dataclass(frozen=True)
class Endpoint:
    """Where the client's tools find S3 when it is not AWS: the local mode's address."""

    url: str | None = None
    ca_bundle: str | None = None


class RecordOffice:
    """Makes and issues records."""

    def __init__(self, settings: Settings, keyring: Keyring, endpoint: Endpoint) -> None:
        self._settings = settings
        self._keyring = keyring
        self._endpoint = endpoint

    def create(
        self, session: Session, operation: Operation, client: Client, key: AccessKey
    ) -> Record:
        """Return the key's record; a new one gets its number in the caller's transaction."""
        mine = select(Record).where(Record.access_key_row_id == key.id)
        existing = session.exec(mine.order_by(col(Record.version).desc())).first()
        if existing is not None:
            return existing
        issued_at = utc_now()
        year = issued_at.astimezone(self._settings.zone).year
        sequence = next_record_number(session, year)
        number = record_number(year, sequence)
        contract, signer = signed_contract(session, client)
        frozen = self._freeze(client, contract, signer, key, number, issued_at)
        record = Record(
            number=number,
            year=year,
            sequence=sequence,
            client_id=client.id,
            access_key_row_id=key.id,
            template_version=TEMPLATE_VERSION,
            frozen_input=frozen.model_dump(mode="json"),
            password_form=(
                PasswordForm.full_name if signer.full_name is not None else PasswordForm.first_last
            ),
            issued_at=issued_at,
            issued_by=operation.requested_by,
        )
        session.add(record)
        return record

    def issue_pdf(self, session: Session, client: Client) -> IssuedRecord:
        """Return the client's newest record as a protected PDF.

        Raises `RecordNotReady` when no key of the client works at present.
        """
        found = session.exec(
            select(Record, AccessKey)
            .join(AccessKey, col(AccessKey.id) == col(Record.access_key_row_id))
            .where(Record.client_id == client.id, AccessKey.status == AccessKeyStatus.active)
            .order_by(col(AccessKey.generation).desc(), col(Record.version).desc())
        ).first()
        secret = found[1].open_secret(self._keyring) if found else None
        if found is None or secret is None:
            raise RecordNotReady(client.slug)
        record, _ = found
        frozen = RecordInput.model_validate(record.frozen_input)
        # The frozen name is the password's own form already, for either form of the signer.
        signer = SignerName(full_name=frozen.signer_name)
        return IssuedRecord(
            pdf=issue(frozen, SecretStr(secret), signer),
            number=record.number,
            version=record.version,
            filename=f"{record.number}-v{record.version}-{client.slug}.pdf",
            password_rule=password_rule(frozen.language),
        )

    def _freeze(
        self,
        client: Client,
        contract: Contract,
        signer: Signer,
        key: AccessKey,
        number: str,
        issued_at: datetime,
    ) -> RecordInput:
        settings = self._settings
        return RecordInput.model_validate(
            {
                "number": number,
                "version": 1,
                "template_version": TEMPLATE_VERSION,
                "issued_at": issued_at,
                "time_zone": settings.time_zone,
                "language": client.language,
                "organisation": Organisation(
                    name=settings.organisation_name,
                    dpo_contact=settings.dpo_contact,
                    help_contact=settings.help_contact,
                ),
                "client_legal_name": client.legal_name,
                "contract_reference": contract.reference,
                "contract_kind": contract.kind.value,
                "contract_signed_on": contract.signed_on,
                "our_role": contract.our_role,
                "signer_name": signer_name(signer).display,
                "purpose": client.purpose,
                "data_categories": tuple(client.data_categories),
                "classification": client.classification,
                "bucket": client.bucket,
                "prefix": f"{client.slug}/",
                "upload_path": f"{client.slug}/images/",
                "region": client.region,
                "user_name": client.user_name,
                "profile": client.profile.value,
                "access_key_id": key.access_key_id,
                "valid_from": issued_at.astimezone(settings.zone).date(),
                "valid_until": client.valid_until,
                "endpoint_url": self._endpoint.url,
                "ca_bundle": self._endpoint.ca_bundle,
                "profile_name": f"handover-{client.slug}",
            }
        )


def signed_contract(session: Session, client: Client) -> tuple[Contract, Signer]:
    """Return the client's current contract and who signed it."""
    return session.exec(
        select(Contract, Signer)
        .join(Signer, col(Signer.contract_id) == col(Contract.id))
        .where(Contract.client_id == client.id, col(Contract.current))
    ).one()


def signer_name(signer: Signer) -> SignerName:
    """Return the signer's name in the form in which it was given."""
    if signer.full_name is not None:
        return SignerName(full_name=signer.full_name)
    return SignerName(first_name=signer.first_name, last_name=signer.last_name)
