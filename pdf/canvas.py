"""Pages onto paper: fpdf2 draws the shapes and says which stretch belongs to which tag."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, cast

import uharfbuzz as hb  # type: ignore[import-untyped]  # it ships no types
from fpdf import FPDF
from fpdf.fonts import HarfBuzzFont, TTFFont

from pdf.fonts import Face, Run
from pdf.logo import is_svg, small
from pdf.shapes import Fill, Mark, Page, Picture, Shape, Tag, Text

PRODUCER = "Handover"


class FontUse(NamedTuple):
    """A font as it is embedded: with or without what shaping needs."""

    face: Face
    shaped: bool


class MemoryFont(TTFFont):
    """A font for fpdf2 that comes from memory, where the library expects a file."""

    __slots__ = ("_data",)

    def __init__(self, pdf: FPDF, data: bytes, key: str) -> None:
        self._data = data
        # fontTools, which reads it in the end, takes a path or a stream alike.
        super().__init__(pdf, cast(Path, BytesIO(data)), key, "")
        # The boxes of the glyphs are right; computing them again would take most of the time.
        self.ttfont.recalcBBoxes = False

    @property
    def hbfont(self) -> HarfBuzzFont:
        """The font as the shaping engine reads it."""
        if not self._hbfont:
            self._hbfont = HarfBuzzFont(hb.Face(self._data))
        return self._hbfont


class Canvas(FPDF):
    """A PDF in points on which the shapes of laid-out pages are drawn."""

    def __init__(self, *, title: str, author: str, subject: str, language: str) -> None:
        super().__init__(unit="pt")
        self.set_auto_page_break(False)
        self.set_margin(0)
        self.c_margin = 0
        self.set_title(title)
        self.set_author(author)
        self.set_subject(subject)
        self.set_lang(language)
        self.set_producer(PRODUCER)
        self.set_creator(PRODUCER)
        self._keys: dict[FontUse, str] = {}
        self._contents = 0

    def draw(self, pages: list[Page], moment: datetime) -> bytes:
        """Draw all pages and return the file; `moment` is its date of creation."""
        self.set_creation_date(moment)
        self._embed(pages)
        for page in pages:
            self.add_page(format=(page.width, page.height))
            self._contents = 0
            for x, y, box in page.placed:
                for tag, shapes in _by_tag(box.shapes):
                    with self._marked(tag):
                        for shape in shapes:
                            self._draw_shape(shape, x, y)
        return bytes(self.output())

    def _embed(self, pages: list[Page]) -> None:
        """Add each font that the pages use, cut down to the characters that they use."""
        used: dict[FontUse, set[str]] = defaultdict(set)
        for page in pages:
            for text in page.texts():
                for run in text.runs:
                    used[FontUse(run.face, run.shaped)].update(run.text)
        for n, (use, characters) in enumerate(used.items()):
            key = f"f{n}"
            data = use.face.subset(frozenset(characters), shaping=use.shaped)
            self.fonts[key] = MemoryFont(self, data, key)
            self._keys[use] = key

    @contextmanager
    def _marked(self, tag: Tag | None) -> Iterator[None]:
        """Mark what is drawn as content of the tag, or as no content (ISO 32000-2, 14.6)."""
        if tag is None:
            self._out("/Artifact BMC")
        else:
            tag.children.append(Mark(self.page - 1, self._contents))
            self._out(f"/{tag.kind} <</MCID {self._contents}>> BDC")
            self._contents += 1
        yield
        self._out("EMC")

    def _draw_shape(self, shape: Shape, x: float, y: float) -> None:
        match shape:
            case Fill():
                self.set_fill_color(*shape.colour)
                self.rect(x + shape.x, y + shape.y, shape.width, shape.height, style="F")
            case Picture():
                self._draw_picture(shape, x + shape.x, y + shape.y)
            case Text(angle=0):
                self._draw_text(shape, x + shape.x, y + shape.y)
            case Text():
                with self.rotation(shape.angle, x + shape.x, y + shape.y):
                    self._draw_text(shape, x + shape.x, y + shape.y)

    def _draw_picture(self, picture: Picture, x: float, y: float) -> None:
        data = picture.data if is_svg(picture.data) else small(picture.data)
        self.image(BytesIO(data), x, y, w=picture.width, h=picture.height)

    def _draw_text(self, text: Text, x: float, y: float) -> None:
        self.set_text_color(*text.colour)
        for run in text.runs:
            self.set_font(self._keys[FontUse(run.face, run.shaped)], size=text.size)
            if run.shaped:
                self._draw_shaped(run, x, y)
            else:
                self.text(x, y, run.text)
            x += run.width * text.size

    def _draw_shaped(self, run: Run, x: float, y: float) -> None:
        """Draw a run through the shaping engine."""
        self.set_text_shaping(True, direction="rtl" if run.rtl else "ltr")
        # A cell as high as its font has its base line at 0.8 of its height.
        self.set_xy(x, y - 0.8 * self.font_size)
        self.cell(h=self.font_size, text=run.text)
        self.set_text_shaping(False)


def _by_tag(shapes: tuple[Shape, ...]) -> Iterator[tuple[Tag | None, list[Shape]]]:
    """Group neighbouring shapes that belong to one tag; fills and pictures belong to none."""
    group: list[Shape] = []
    current: Tag | None = None
    for shape in shapes:
        tag = shape.tag if isinstance(shape, Text) else None
        if group and tag is not current:
            yield current, group
            group = []
        current = tag
        group.append(shape)
    if group:
        yield current, group
