"""Blocks into boxes: what stays together is one box, a table one a row."""

from collections.abc import Iterator
from dataclasses import replace

from pdf import style
from pdf.blocks import (
    Block,
    Bullets,
    Callout,
    Cell,
    Code,
    Heading,
    Paragraph,
    Step,
    Table,
    TitleBlock,
    Whole,
    Wide,
)
from pdf.fonts import FontBook
from pdf.lines import Lines, LineSetter
from pdf.logo import size as logo_size
from pdf.shapes import Box, Fill, Picture, Shape, Tag, Text

CODE_PADDING = 7.0
CELL_PADDING = 3.0
COLUMN_GAP = 10.0
STEP_INDENT = 18.0
BULLET_INDENT = 11.0
ROW_LINES = 30
CELL_STYLES = {
    "text": style.CELL,
    "bullets": style.CELL,
    "label": style.LABEL,
    "mono": style.MONO,
}


class Typesetter(LineSetter):
    """Turns blocks into boxes of a width, and hangs their tags below `root` in reading order."""

    def __init__(self, fonts: FontBook, root: Tag) -> None:
        super().__init__(fonts)
        self._root = root

    def boxes(self, block: Block, width: float) -> list[Box]:
        """Return the boxes of one block, top to bottom."""
        match block:
            case TitleBlock():
                return self._title_block(block, width)
            case Heading():
                return self._heading(block)
            case Paragraph():
                return self._paragraph(block, width)
            case Callout():
                return [self._callout(block, width)]
            case Step():
                return self._step(block, width)
            case Bullets():
                return self._bullets(block, width)
            case Code():
                return self._code(block, width)
            case Table():
                return self._table(block, width)
            case Wide():
                return self._all(block.blocks, width)
            case Whole():
                *tied, last = self._all(block.blocks, width)
                return [*(replace(box, keep=True) for box in tied), last]

    def _all(self, blocks: tuple[Block, ...], width: float) -> list[Box]:
        return [box for block in blocks for box in self.boxes(block, width)]

    def code_size(self, code: Code, width: float) -> float:
        """Return the size at which each of the code's lines fits the width whole."""
        room = width - 2 * CODE_PADDING
        widest = max(self.width(line, style.CODE) for line in code.lines)
        return min(style.CODE.size, style.CODE.size * room / widest)

    def _lines(self, text: Lines, x: float, tag: Tag, *, after: float, keep: bool) -> list[Box]:
        """One box a line; the first two and the last two lines stay together."""
        boxes = []
        last = len(text.lines) - 1
        for n, line in enumerate(text.lines):
            height = text.style.leading + (after if n == last else 0)
            tied = keep if n == last else n == 0 or n == last - 1
            shape = self.line(line, text.style, x, 0, tag, rtl=text.rtl)
            boxes.append(Box(height, (shape,), tied))
        return boxes

    def _title_block(self, block: TitleBlock, width: float) -> list[Box]:
        shapes: list[Shape] = []
        y = 0.0
        room = width
        if block.logo is not None:
            logo = _logo(block.logo, width)
            shapes.append(logo)
            room = logo.x - COLUMN_GAP
        parts = (
            (block.organisation, style.ISSUER, "P", 6),
            (block.title, style.TITLE, "H1", 1),
            (block.subtitle, style.SUBTITLE, "P", 9),
        )
        for text, how, kind, after in parts:
            lines = self.broken(text, how, room)
            shapes += self.draw(lines, 0, y, self._root.child(kind))
            y += lines.height + after
        shapes.append(Fill(0, y, width, 1.6, style.ACCENT))
        facts = self._side_by_side(block, width)
        return [Box(y + 9, tuple(shapes), keep=True), facts]

    def _side_by_side(self, block: TitleBlock, width: float) -> Box:
        shapes: list[Shape] = []
        x = height = 0.0
        for (label, value), share in zip(block.facts, block.widths, strict=True):
            column = share * width
            over = self.broken(label, style.SMALL, column - COLUMN_GAP)
            under = self.broken(value, style.STRONG, column - COLUMN_GAP)
            shapes += self.draw(over, x, 0, self._root.child("P"))
            shapes += self.draw(under, x, over.height, self._root.child("P"))
            x += column
            height = max(height, over.height + under.height)
        return Box(height + 12, tuple(shapes))

    def _heading(self, block: Heading) -> list[Box]:
        tag = self._root.child("H2")
        line = self.line(block.text, style.HEADING, 0, 8, tag)
        return [Box(style.HEADING.leading + 11, (line,), keep=True)]

    def _paragraph(self, block: Paragraph, width: float) -> list[Box]:
        how = style.SMALL if block.small else style.BODY
        text = self.broken(block.text, how, width)
        return self._lines(text, 0, self._root.child("P"), after=5, keep=block.keep)

    def _callout(self, block: Callout, width: float) -> Box:
        inner = width - 28
        y = 9.0
        shapes: list[Shape] = []
        title = self.broken(block.title, style.CALLOUT_TITLE, inner)
        for part in (title, *(self.broken(text, style.BODY, inner) for text in block.texts)):
            shapes += self.draw(part, 15, y, self._root.child("P"))
            y += part.height + 3
        height = y + 5
        back = (Fill(0, 0, width, height, style.NOTICE), Fill(0, 0, 3.2, height, style.ACCENT))
        return Box(height + 4, (*back, *shapes))

    def _step(self, block: Step, width: float) -> list[Box]:
        tag = self._root.child("H3")
        number = self.line(block.mark, style.STEP_NUMBER, 0, 3, tag)
        title = self.line(block.title, style.STRONG, STEP_INDENT, 3, tag)
        head = Box(style.STRONG.leading + 3.5, (number, title), keep=True)
        text = self.broken(block.text, style.BODY, width - STEP_INDENT)
        body = self._lines(text, STEP_INDENT, self._root.child("P"), after=3, keep=block.keep)
        return [head, *body]

    def _bullets(self, block: Bullets, width: float) -> list[Box]:
        listing = self._root.child("L")
        boxes = []
        for item in block.items:
            tag = listing.child("LI").child("LBody")
            text = self.broken(item, style.BODY, width - BULLET_INDENT)
            shapes = [self.line("•", style.STEP_NUMBER, 0, 0, None)]
            shapes += [s for s in self.draw(text, BULLET_INDENT, 0, tag) if isinstance(s, Text)]
            boxes.append(Box(text.height + 2.5, tuple(shapes)))
        boxes[-1] = replace(boxes[-1], height=boxes[-1].height + 4)
        return boxes

    def _code(self, block: Code, width: float) -> list[Box]:
        how = replace(style.CODE, size=self.code_size(block, width))
        boxes = []
        last = len(block.lines) - 1
        for n, line in enumerate(block.lines):
            above, below = (3.0 if n == 0 else 0.0), (3.0 if n == last else 0.0)
            height = above + how.leading + below
            tag = self._root.child("P").child("Code")
            text = self.line(line, how, CODE_PADDING, above, tag)
            back = Fill(0, 0, width, height + (0 if n == last else 0.4), style.PANEL)
            gap = 3.0 if n == last else 0.0
            boxes.append(Box(height + gap, (back, text), keep=block.keep or n < last))
        return boxes

    def _table(self, block: Table, width: float) -> list[Box]:
        table = self._root.child("Table")
        columns = [share * width for share in block.widths]
        head = self._title_row(block.titles, columns, table) if block.titles else None
        again = replace(head, shapes=tuple(_untagged(head))) if head else None
        parts = (part for row in block.rows for part in self._parts(row, columns))
        rows = [self._row(row, columns, table, not block.titles) for row in parts]
        boxes = [replace(row, again=again) for row in rows]
        boxes[-1] = replace(boxes[-1], height=boxes[-1].height + 5)
        return [head, *boxes] if head else boxes

    def _parts(self, row: tuple[Cell, ...], columns: list[float]) -> Iterator[tuple[Cell, ...]]:
        """Split a row that would fill most of a page into several."""
        texts = [
            self._broken_cell(cell, column - COLUMN_GAP).lines
            for cell, column in zip(row, columns, strict=True)
        ]
        if any(cell.style == "bullets" for cell in row) or max(map(len, texts)) <= ROW_LINES:
            yield row
            return
        for start in range(0, max(map(len, texts)), ROW_LINES):
            chunks = ("".join(lines[start : start + ROW_LINES]) for lines in texts)
            yield tuple(replace(cell, text=chunk) for cell, chunk in zip(row, chunks, strict=True))

    def _title_row(self, titles: tuple[str, ...], columns: list[float], table: Tag) -> Box:
        row = table.child("TR")
        shapes: list[Shape] = []
        x = height = 0.0
        for title, column in zip(titles, columns, strict=True):
            text = self.broken(title, style.COLUMN_TITLE, column - COLUMN_GAP)
            shapes += self.draw(text, x, CELL_PADDING, row.child("TH", scope="Column"))
            x += column
            height = max(height, text.height)
        height += 2 * CELL_PADDING
        rule = Fill(0, height - 1, sum(columns), 1, style.NAVY)
        return Box(height, (*shapes, rule), keep=True)

    def _row(self, cells: tuple[Cell, ...], columns: list[float], table: Tag, led: bool) -> Box:
        row = table.child("TR")
        shapes: list[Shape] = []
        x = height = 0.0
        for n, (cell, column) in enumerate(zip(cells, columns, strict=True)):
            header = led and n == 0
            tag = row.child("TH", scope="Row") if header else row.child("TD")
            drawn, tall = self._cell(cell, x, column - COLUMN_GAP, tag)
            shapes += drawn
            x += column
            height = max(height, tall)
        height += 2 * CELL_PADDING
        rule = Fill(0, height - 0.5, sum(columns), 0.5, style.RULE)
        return Box(height, (*shapes, rule))

    def _cell(self, cell: Cell, x: float, width: float, tag: Tag) -> tuple[list[Shape], float]:
        if cell.style == "bullets":
            return self._bullet_cell(cell, x, width, tag)
        text = self._broken_cell(cell, width)
        return self.draw(text, x, CELL_PADDING, tag), text.height

    def _broken_cell(self, cell: Cell, width: float) -> Lines:
        return self.broken(cell.text, CELL_STYLES[cell.style], width)

    def _bullet_cell(
        self, cell: Cell, x: float, width: float, tag: Tag
    ) -> tuple[list[Shape], float]:
        listing = tag.child("L")
        shapes: list[Shape] = []
        y = 0.0
        for item in cell.text.splitlines():
            text = self.broken(item, style.CELL, width - BULLET_INDENT)
            shapes.append(self.line("•", style.STEP_NUMBER, x, y + CELL_PADDING, None))
            body = listing.child("LI").child("LBody")
            shapes += self.draw(text, x + BULLET_INDENT, y + CELL_PADDING, body)
            y += text.height + 1
        return shapes, y


def _logo(data: bytes, width: float) -> Picture:
    """The logo in the upper right corner, as large as its place permits."""
    wide, high = logo_size(data)
    scale = min(style.LOGO_WIDTH / wide, style.LOGO_HEIGHT / high)
    return Picture(width - wide * scale, 0, wide * scale, high * scale, data)


def _untagged(box: Box) -> Iterator[Shape]:
    """The shapes of a repeated box, which is no content of its own."""
    for shape in box.shapes:
        yield replace(shape, tag=None) if isinstance(shape, Text) else shape
