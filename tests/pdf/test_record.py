"""The input: frozen, complete and strict."""

from datetime import datetime

import pytest
from pydantic import ValidationError

from tests.pdf.records import make_record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "T-050-003-26-1"),
        ("version", 0),
        ("issued_at", datetime(2026, 11, 21)),
        ("time_zone", "Europe/Nowhere"),
        ("time_zone", "../etc/passwd"),
        ("prefix", "ABC-LLC"),
        ("upload_path", "ABC-LLC/images"),
        ("profile", "administrator"),
        ("profile_name", 'x" --profile "default'),
        ("contract_kind", "handshake"),
        ("surprise", "field"),
    ],
)
def test_wrong_input_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        make_record(**{field: value})


def test_input_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record().version = 2  # type: ignore[misc]  # what is tested
