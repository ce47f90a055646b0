"""How long a record takes: rendered and protected."""

from datetime import UTC, date, datetime

from pydantic import SecretStr

from bench.timing import Times, measure
from pdf import Organisation, RecordInput, SignerName, issue


def pdf_times(runs: int) -> Times:
    """Time rendering and protecting a record, after one to warm the fonts."""
    _issue(0)
    return measure(_issue, range(runs))


def _issue(number: int) -> bytes:
    record = RecordInput.model_validate(
        {
            "number": f"T-050-003-2026-{number:04d}",
            "version": 1,
            "template_version": "1",
            "issued_at": datetime(2026, 1, 15, 9, 0, tzinfo=UTC),
            "time_zone": "Europe/Madrid",
            "language": "en",
            "organisation": Organisation(name="Bench", dpo_contact="dpo", help_contact="help"),
            "client_legal_name": "ABC LLC",
            "contract_reference": "DPA-2026-014",
            "contract_kind": "dpa",
            "contract_signed_on": date(2026, 1, 15),
            "signer_name": "Ada Lovelace",
            "purpose": "Review of dermatology images for an ad-hoc study",
            "data_categories": ("medical images",),
            "bucket": "legit-health-clients",
            "prefix": "ABC-LLC/",
            "upload_path": "ABC-LLC/images/",
            "region": "eu-west-1",
            "user_name": "ABC-LLC",
            "profile": "hardened",
            "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "valid_from": date(2026, 1, 15),
            "profile_name": "handover-ABC-LLC",
        }
    )
    return issue(record, SecretStr("x" * 40), SignerName(full_name="Ada Lovelace"))
