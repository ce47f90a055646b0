"""`docs/compliance.md` says what the tests show, no more and no less."""

import re

from tests.compliance import DOCUMENT, KNOWN, citations, rows, written


def test_the_document_is_what_the_tests_say() -> None:
    """Run ``python -m tests.compliance`` when this fails, and look at what changed."""
    assert DOCUMENT.read_text() == written()


def test_each_row_names_a_test() -> None:
    assert [requirement for requirement, tests in rows().items() if not tests] == []


def test_each_requirement_is_either_shown_or_listed_as_not_shown() -> None:
    open_part = DOCUMENT.read_text().split("## Not shown yet", 1)[1]
    not_shown = set(re.findall(r"\b(?:SP|RX|PB)-\d{2}\b", open_part))
    assert not_shown | set(rows()) == KNOWN
    assert not_shown & set(rows()) == set()


def test_the_procedures_inputs_are_mapped_to_what_is_shown() -> None:
    """SP-14: GDPR, LOPDGDD, GP-050 and ISO/IEC 27001, each answered by requirements with tests."""
    mapping = DOCUMENT.read_text().split("## Control mapping", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in mapping.splitlines() if line.startswith("| ")][1:]
    for source in ("GDPR", "LOPDGDD", "GP-050", "ISO/IEC 27001:2022"):
        assert [line for line in lines if line.startswith(f"| {source}")]
    for line in lines:
        answers = set(re.findall(r"\b(?:SP|RX|PB)-\d{2}\b", line))
        assert answers, line
        assert answers <= set(rows()), line


def test_no_test_cites_a_requirement_that_does_not_exist() -> None:
    assert set(citations()) <= KNOWN


def test_no_requirement_is_shown_and_left_out() -> None:
    assert set(citations()) <= set(rows())
