"""Records to test with, and readers of what comes out."""

import io
import shutil
import subprocess
from datetime import UTC, date, datetime
from typing import Any

import pypdf
from pydantic import SecretStr

from pdf import Approval, RecordInput, SignerName, specimen

SECRET = SecretStr("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SIGNER = SignerName(first_name="Ada", last_name="Lovelace")
LONG_SLUG = "Instituto-de-Investigacion-Dermatologica-Occidente"
LONG_BUCKET = "bucket-with-the-longest-name-that-object-storage-permits-000063"

LONGEST: dict[str, Any] = {
    "client_legal_name": ("Sociedad Anónima de Investigación Dermatológica " * 5)[:200].strip(),
    "purpose": ("Evaluación retrospectiva de imágenes clínicas " * 11)[:500].strip(),
    "contract_reference": "REF-" + "2026-" * 8 + "X",
    "signer_name": "María del Carmen Fernández-Villaverde y González de Castejón",
    "data_categories": ("images", "clinical metadata", "age and sex", "histology reports"),
    "bucket": LONG_BUCKET,
    "prefix": f"{LONG_SLUG}/",
    "upload_path": f"{LONG_SLUG}/images/",
    "user_name": LONG_SLUG,
    "profile_name": f"handover-{LONG_SLUG}",
    "valid_until": date(2027, 11, 20),
}

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40">'
    b'<rect width="40" height="40" fill="#007084"/>'
    b'<circle cx="80" cy="20" r="20" fill="#143054"/></svg>'
)
COMMIT = "9f2c1e7d40" * 4


def signature(step: str, role: str, **changes: Any) -> Approval:
    """A signature under the template, given on 4 November unless told otherwise."""
    fields = {"step": step, "role": role, "on": date(2026, 11, 4), "commit": COMMIT}
    return Approval(**(fields | changes))


SIGNATURES = (
    signature("author", "JD-020", by="actor-1"),
    signature("reviewer", "JD-003", by="actor-2"),
    signature("approver", "JD-001", by="actor-3"),
)


def make_record(**changes: Any) -> RecordInput:
    """A record of ABC LLC with some fields changed."""
    fields: dict[str, Any] = {
        "number": "T-050-003-2026-0001",
        "issued_at": datetime(2026, 11, 21, 23, 30, tzinfo=UTC),
        "contract_reference": "DPA-2026-017",
        "contract_signed_on": date(2026, 11, 18),
        "purpose": "Review of dermatology images",
        "data_categories": ("images", "clinical metadata"),
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "valid_from": date(2026, 11, 22),
        "draft": False,
    }
    return specimen(**(fields | changes))


def pages_of(pdf: bytes, password: str | None = None) -> list[str]:
    """The text of each page, read by pypdf."""
    return [
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf), password=password).pages
    ]


def poppler_text(pdf: bytes, password: str = "") -> str:
    """The text as poppler lays it out; asserts that poppler opens the file."""
    answer = pdftotext(pdf, password)
    assert answer.returncode == 0, answer.stderr.decode()
    return answer.stdout.decode()


def pdftotext(pdf: bytes, password: str = "") -> "subprocess.CompletedProcess[bytes]":
    """Run poppler's pdftotext on a PDF, through pipes."""
    program = shutil.which("pdftotext")
    assert program, "pdftotext is missing: install poppler-utils (Debian) or poppler (others)"
    # An empty argument would mean no password at all, which is what an empty one is to a reader.
    options = ["-upw", password] if password else []
    return subprocess.run(
        [program, *options, "-layout", "-", "-"], input=pdf, capture_output=True, timeout=60
    )
