"""Boxes onto pages: what belongs together stays together, table heads are repeated."""

from collections.abc import Sequence
from dataclasses import replace

from pdf import style
from pdf.blocks import Block, Code, Document, Running, Wide
from pdf.fonts import FontBook
from pdf.shapes import Box, Page, Tag
from pdf.style import A4_HEIGHT, A4_WIDTH, BOTTOM, MARGIN, TOP
from pdf.typeset import Typesetter

# Commands below this size are hard to read on paper: they get landscape pages.
LEGIBLE_CODE = 5.0


def lay_out(document: Document, fonts: FontBook) -> tuple[list[Page], Tag]:
    """Return the pages of a document and the root of its tags."""
    root = Tag("Document")
    typesetter = Typesetter(fonts, root)
    flow = _Flow()
    wide = [b for b in document.blocks if isinstance(b, Wide) and _too_wide(b, typesetter, flow)]
    _set([block for block in document.blocks if block not in wide], typesetter, flow)
    for block in wide:
        # At the end, so that no page before it stays half empty.
        flow.turn()
        _set([block], typesetter, flow)
    flow.end()
    for number, page in enumerate(flow.pages, 1):
        _add_running(page, document.running, f"{number}", f"{len(flow.pages)}", typesetter)
    return flow.pages, root


def _set(blocks: Sequence[Block], typesetter: Typesetter, flow: "_Flow") -> None:
    for block in blocks:
        flow.add(typesetter.boxes(block, flow.width))


def _too_wide(block: Wide, typesetter: Typesetter, flow: "_Flow") -> bool:
    codes = (inner for inner in block.blocks if isinstance(inner, Code))
    return any(typesetter.code_size(code, flow.width) < LEGIBLE_CODE for code in codes)


class _Flow:
    """Fills pages from top to bottom."""

    def __init__(self) -> None:
        self.pages = [Page(A4_WIDTH, A4_HEIGHT)]
        self._y = TOP
        self._pending: list[Box] = []

    @property
    def width(self) -> float:
        """The width of the lines of the page being filled."""
        return self.pages[-1].width - 2 * MARGIN

    def turn(self) -> None:
        """Go on with a landscape page."""
        self.end()
        self._start(A4_HEIGHT, A4_WIDTH)

    def add(self, boxes: Sequence[Box]) -> None:
        """Place boxes; those tied to the next one move to the next page with it."""
        for box in boxes:
            self._pending.append(box)
            if not box.keep:
                self.end()

    def end(self) -> None:
        """Place what waits for a next box that does not come."""
        group, self._pending = self._pending, []
        self._place(group)

    def _place(self, group: list[Box]) -> None:
        if not group:
            return
        last = self.pages[-1]
        room = last.height - BOTTOM - self._y
        if last.placed and sum(box.height for box in group) > room:
            self._start(last.width, last.height)
        for box in group:
            self._put(box)

    def _put(self, box: Box) -> None:
        page = self.pages[-1]
        if page.placed and self._y + box.height > page.height - BOTTOM:
            page = self._start(page.width, page.height)
        if not page.placed and box.again is not None:
            page.place(MARGIN, self._y, box.again)
            self._y += box.again.height
        page.place(MARGIN, self._y, box)
        self._y += box.height

    def _start(self, width: float, height: float) -> Page:
        page = Page(width, height)
        self.pages.append(page)
        self._y = TOP
        return page


def _add_running(
    page: Page, running: Running, number: str, count: str, typesetter: Typesetter
) -> None:
    """Add what stands on each page (PB-23): head, classification, foot, page x of y."""
    at = running.page.format(page=number, pages=count)
    right = page.width - MARGIN
    marks = (
        (running.head, style.RUNNING, MARGIN, style.HEAD_BASE),
        (running.classification, style.CLASS_MARK, None, style.HEAD_BASE),
        (running.foot, style.RUNNING, MARGIN, page.height - style.FOOT_BASE),
        (at, style.RUNNING, None, page.height - style.FOOT_BASE),
    )
    if running.draft:
        _add_draft(page, running.draft, typesetter)
    for text, how, left, y in marks:
        x = right - typesetter.width(text, how) if left is None else left
        line = typesetter.line(text, how, x, y - how.leading / 2, None)
        page.place(0, 0, Box(0, (line,)))


def _add_draft(page: Page, word: str, typesetter: Typesetter) -> None:
    """Print a word across the page, below everything else (SP-08)."""
    width = typesetter.width(word, style.DRAFT)
    x = page.width / 2 - width * 0.29
    y = page.height / 2 + width * 0.35
    line = replace(typesetter.line(word, style.DRAFT, x, y, None), angle=52)
    page.placed.insert(0, (0, 0, Box(0, (line,))))
