"""Freezes what one version of a record says, from the rows, the settings and the template in force
(SP-15)."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlmodel import Session, col, select

from models.access_keys import AccessKey
from models.clients import Client, Contract, Signer
from models.records import record_number
from pdf import RecordInput, SignerName, TemplateVersion
from service.settings import Settings
from service.templates import chosen_template


@dataclass(frozen=True)
class Endpoint:
    """Where the client's tools find S3 when it is not AWS: the local mode's address."""

    url: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True)
class Numbering:
    """What tells a version of a record from all others, and its dates.

    `valid_from`: the day of the first version; the key is no newer in a later one.
    """

    year: int
    sequence: int
    version: int
    issued_at: datetime
    valid_from: date

    @property
    def number(self) -> str:
        """The record's number as printed."""
        return record_number(self.year, self.sequence)


def freeze(
    session: Session,
    settings: Settings,
    endpoint: Endpoint,
    client: Client,
    key: AccessKey,
    numbering: Numbering,
) -> RecordInput:
    """Return what this version of the key's record says."""
    contract, signer = signed_contract(session, client)
    return RecordInput.model_validate(
        {
            "number": numbering.number,
            "version": numbering.version,
            "issued_at": numbering.issued_at,
            "time_zone": settings.time_zone,
            "language": client.language,
            "organisation": settings.organisation,
            "client_legal_name": client.legal_name,
            "contract_reference": contract.reference,
            "contract_kind": contract.kind.value,
            "contract_signed_on": contract.signed_on,
            "our_role": contract.our_role,
            "signer_name": signer_name(signer).display,
            "purpose": client.purpose,
            "data_categories": tuple(client.data_categories),
            "classification": client.classification,
            **_area(client),
            "access_key_id": key.access_key_id,
            "valid_from": numbering.valid_from,
            "valid_until": client.valid_until,
            "endpoint_url": endpoint.url,
            "ca_bundle": endpoint.ca_bundle,
            **_template(chosen_template(session, settings.zone)),
        }
    )


def same_words(one: RecordInput, other: RecordInput) -> bool:
    """Tell whether two versions say the same but for their version and moment of issue."""
    return _words(one) == _words(other)


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


def _area(client: Client) -> dict[str, Any]:
    return {
        "bucket": client.bucket,
        "prefix": f"{client.slug}/",
        "upload_path": f"{client.slug}/images/",
        "region": client.region,
        "user_name": client.user_name,
        "profile": client.profile.value,
        "profile_name": f"handover-{client.slug}",
    }


def _template(template: TemplateVersion) -> dict[str, Any]:
    return {
        "template_version": template.version,
        "approvals": template.approvals,
        "draft": template.draft,
    }


def _words(frozen: RecordInput) -> dict[str, Any]:
    return frozen.model_dump(mode="json", exclude={"version", "issued_at"})
