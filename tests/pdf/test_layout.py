"""Pages: nothing leaves them, nothing overlaps, commands stay whole."""

from itertools import pairwise
from typing import Any

import pytest

from pdf import commands, default_fonts, render
from pdf.content import document
from pdf.layout import lay_out
from pdf.shapes import Page, Text
from pdf.style import BOTTOM, MARGIN, TOP
from tests.pdf.records import LONGEST, SECRET, make_record, pages_of, poppler_text

CASES: list[dict[str, Any]] = [
    {},
    {"language": "es", "profile": "sp-050-003"},
    LONGEST,
    LONGEST | {"language": "es", "profile": "write-only"},
    {"client_legal_name": "W" * 200, "purpose": "—" * 500, "contract_reference": "x" * 120},
    {"client_legal_name": "شركة " * 40, "purpose": "สถาบันวิจัย" * 30},
    {"purpose": "word " * 2000},
]


def pages(changes: dict[str, Any]) -> list[Page]:
    """The laid-out pages of a record."""
    return lay_out(document(make_record(**changes), SECRET), default_fonts())[0]


@pytest.mark.parametrize("changes", CASES)
def test_all_text_is_inside_the_margins(changes: dict[str, Any]) -> None:
    for page in pages(changes):
        for x, y, box in page.placed:
            for text in (shape for shape in box.shapes if isinstance(shape, Text)):
                width = sum(run.width for run in text.runs) * text.size
                if text.runs[-1].text.endswith(" "):
                    width -= default_fonts().regular.shaped_width(" ", rtl=False) * text.size
                assert x + text.x >= MARGIN - 0.01
                # Shaping may kern a line a little wider or narrower than its words.
                assert x + text.x + width <= page.width - MARGIN + 2
                assert 0 < y + text.y < page.height


@pytest.mark.parametrize("changes", CASES)
def test_boxes_follow_each_other_within_the_page(changes: dict[str, Any]) -> None:
    for page in pages(changes):
        flowing = [(y, box) for _, y, box in page.placed if box.height]
        assert flowing[0][0] == TOP
        for (y, box), (below, _) in pairwise(flowing):
            assert below == pytest.approx(y + box.height)
        last_y, last = flowing[-1]
        assert last_y + last.height <= page.height - BOTTOM + 0.01


@pytest.mark.parametrize("changes", CASES)
def test_no_heading_ends_a_page(changes: dict[str, Any]) -> None:
    for page in pages(changes):
        assert not [box for _, _, box in page.placed if box.height][-1].keep


@pytest.mark.parametrize("changes", [{}, LONGEST])
def test_sp_27_each_command_is_one_line_in_two_readers(changes: dict[str, Any]) -> None:
    """The longest slug (50) and bucket (63) included."""
    record = make_record(**changes)
    pdf = render(record, SECRET)
    by_poppler = [line.strip() for line in poppler_text(pdf).splitlines()]
    by_pypdf = [line.strip() for page in pages_of(pdf) for line in page.splitlines()]
    for command in commands(record):
        assert command.line in by_poppler
        assert command.line in by_pypdf


def test_very_long_commands_get_landscape_pages() -> None:
    """Always those of the other ways in; the main way only for very long names."""
    assert [page.width > page.height for page in pages({})] == [False, False, False, True]
    assert [page.width > page.height for page in pages(LONGEST)] == [False, False, True, True]


def test_a_table_row_keeps_its_head_on_the_next_page() -> None:
    """A repeated head is decoration: its text is in the structure once."""
    laid = pages({"purpose": "word " * 2000})
    assert len(laid) > 2
