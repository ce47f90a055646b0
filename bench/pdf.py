"""How long a record takes, and whether memory stays flat over many."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime

from pydantic import SecretStr

from pdf import Organisation, RecordInput, SignerName, protect, record_password, render

SECRET = SecretStr("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
SIGNER = SignerName(first_name="Ada", last_name="Lovelace")
ROUNDS = 50
MANY = 1_000


def measure() -> dict[str, float]:
    """Return milliseconds a record (medians), its size, and what 1,000 records add to memory."""
    record = _record()
    start = time.perf_counter()
    plain = render(record, SECRET)
    first = (time.perf_counter() - start) * 1000
    password = record_password(SIGNER)
    rendering = _median(lambda: render(record, SECRET))
    protecting = _median(lambda: protect(plain, password))
    before = _peak_megabytes()
    for number in range(MANY):
        render(record.model_copy(update={"number": f"T-050-003-2026-{number:04}"}), SECRET)
    return {
        "pdf_first_ms": round(first, 1),
        "pdf_render_ms": round(rendering, 1),
        "pdf_protect_ms": round(protecting, 1),
        "pdf_total_ms": round(rendering + protecting, 1),
        "pdf_bytes": len(protect(plain, password)),
        "pdf_1000_grow_mb": round(_peak_megabytes() - before, 1),
    }


def _median(act: Callable[[], object]) -> float:
    """Return the median time of an act in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kibibytes elsewhere.
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _record() -> RecordInput:
    return RecordInput(
        number="T-050-003-2026-0001",
        version=1,
        template_version="1",
        issued_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
        time_zone="Europe/Madrid",
        organisation=Organisation(
            name="Example Health, S.L.",
            dpo_contact="dpo@example.org",
            help_contact="support@example.org",
        ),
        client_legal_name="ABC LLC",
        contract_reference="DPA-2026-017",
        contract_kind="dpa",
        contract_signed_on=date(2026, 11, 18),
        signer_name="Ada Lovelace",
        purpose="Review of dermatology images",
        data_categories=("images", "clinical metadata"),
        bucket="legit-health-clients",
        prefix="ABC-LLC/",
        upload_path="ABC-LLC/images/",
        region="eu-west-3",
        user_name="ABC-LLC",
        profile="hardened",
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        valid_from=date(2026, 11, 22),
        profile_name="handover-ABC-LLC",
    )


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:20} {value}")
