"""What a page is made of: lines of text and rectangles, and the tags they belong to.

Units are points; the origin is the page's upper left corner.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pdf.fonts import Run

Colour = tuple[int, int, int]


class Mark(NamedTuple):
    """A stretch of marked content: the page's index and the content's id on it."""

    page: int
    content: int


@dataclass(eq=False)
class Tag:
    """A structure element (ISO 32000-2, 14.7): what a stretch of the document is.

    `scope` is a header cell's. `lines` is the element's own text in reading order; `shaped` tells
    that what is drawn differs from it in order or in characters.
    """

    kind: str
    scope: str = ""
    children: list["Tag | Mark"] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    shaped: bool = False

    def child(self, kind: str, *, scope: str = "") -> "Tag":
        """Add an element below this one and return it."""
        tag = Tag(kind, scope)
        self.children.append(tag)
        return tag

    def add_line(self, text: str, *, shaped: bool) -> None:
        """Add a line to the element's text."""
        self.lines.append(text)
        self.shaped = self.shaped or shaped


@dataclass(frozen=True, eq=False)
class Text:
    """One line of text; `y` is its base line, `tag` None for what is no content.

    `angle` turns it counter-clockwise around its start, in degrees.
    """

    x: float
    y: float
    runs: tuple[Run, ...]
    size: float
    colour: Colour
    tag: Tag | None
    angle: float = 0


@dataclass(frozen=True)
class Fill:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: Colour


@dataclass(frozen=True)
class Picture:
    """A picture that decorates: the bytes of a PNG, JPEG or SVG file."""

    x: float
    y: float
    width: float
    height: float
    data: bytes


Shape = Text | Fill | Picture


@dataclass(frozen=True)
class Box:
    """Shapes that stay together, with coordinates relative to the box's upper left corner.

    `keep` ties it to the next box; `again` is repeated above it when it starts a page.
    """

    height: float
    shapes: tuple[Shape, ...] = ()
    keep: bool = False
    again: "Box | None" = None


@dataclass
class Page:
    """A page: its size and the boxes on it with the place of their upper left corners."""

    width: float
    height: float
    placed: list[tuple[float, float, Box]] = field(default_factory=list)

    def place(self, x: float, y: float, box: Box) -> None:
        """Put a box on the page."""
        self.placed.append((x, y, box))

    def texts(self) -> Iterator[Text]:
        """All lines of text of the page."""
        for _, _, box in self.placed:
            yield from (shape for shape in box.shapes if isinstance(shape, Text))
