"""A specimen: the record of nobody's area with a key that is plainly none (SP-15)."""

from datetime import UTC, date, datetime
from typing import Any

from pydantic import SecretStr

from pdf.record import Organisation, RecordInput

SPECIMEN_SECRET = SecretStr("SPECIMEN/NOT/A/KEY/SPECIMEN/NOT/A/KEY/00")
"""As long as a real secret access key, and obviously false."""

_ORGANISATION = Organisation(
    name="Example Health, S.L.",
    dpo_contact="dpo@example.org",
    help_contact="support@example.org",
)


def specimen(**changes: Any) -> RecordInput:
    """Return the input of a specimen, with some fields of `RecordInput` given otherwise.

    It never changes by itself: its dates are fixed. Raises pydantic's ValidationError.
    """
    fields: dict[str, Any] = {
        "number": "T-050-003-0000-0000",
        "version": 1,
        "template_version": "1",
        "issued_at": datetime(2026, 1, 15, 9, 0, tzinfo=UTC),
        "time_zone": "Europe/Madrid",
        "organisation": _ORGANISATION,
        "client_legal_name": "ABC LLC",
        "contract_reference": "SPECIMEN",
        "contract_kind": "dpa",
        "contract_signed_on": date(2026, 1, 12),
        "signer_name": "Ada Lovelace",
        "purpose": "Specimen of this document",
        "data_categories": ("images",),
        "bucket": "legit-health-clients",
        "prefix": "ABC-LLC/",
        "upload_path": "ABC-LLC/images/",
        "region": "eu-west-3",
        "user_name": "ABC-LLC",
        "profile": "hardened",
        "access_key_id": "AKIASPECIMENSPECIMEN",
        "valid_from": date(2026, 1, 15),
        "profile_name": "handover-ABC-LLC",
        "draft": True,
    }
    return RecordInput(**(fields | changes))
