"""The document model: what a record says, before it has a shape.

A document is a tuple of blocks in reading order. `pdf.content` makes it from a record; `pdf.layout`
gives it pages.
"""

from dataclasses import dataclass
from typing import Literal

CellStyle = Literal["text", "label", "mono", "bullets"]


@dataclass(frozen=True)
class TitleBlock:
    """The document's head: who issues it, what it is, and its identifying facts side by side.

    `widths` are the facts' shares of the line.
    """

    organisation: str
    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    widths: tuple[float, ...]
    logo: bytes | None = None


@dataclass(frozen=True)
class Heading:
    """The title of a section; never parted from what follows."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text; `keep` ties it to the next block, `small` sets it smaller."""

    text: str
    keep: bool = False
    small: bool = False


@dataclass(frozen=True)
class Callout:
    """A highlighted text with a title."""

    title: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One step under its number or letter: what to do and, by `Code` blocks that follow, how."""

    mark: str
    title: str
    text: str
    keep: bool = True


@dataclass(frozen=True)
class Bullets:
    """A list of short texts."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Lines to copy; each stays whole on one line, in a smaller size where it must."""

    lines: tuple[str, ...]
    keep: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `bullets` cells hold one item a line."""

    text: str
    style: CellStyle = "text"


@dataclass(frozen=True)
class Table:
    """Rows of cells under optional column titles; `widths` are shares of the line.

    Without column titles the first cell of each row is its header.
    """

    rows: tuple[tuple[Cell, ...], ...]
    widths: tuple[float, ...]
    titles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wide:
    """Blocks that move to landscape pages at the end where their code lines are very long."""

    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Whole:
    """Blocks that stand on one page, if a page holds them."""

    blocks: tuple["Block", ...]


Block = TitleBlock | Heading | Paragraph | Callout | Step | Bullets | Code | Table | Wide | Whole


@dataclass(frozen=True)
class Running:
    """What stands on each page: at the head left and right, and at the foot left.

    `page` is filled with the page's number and their count; `draft`, if not empty, is printed
    across the page.
    """

    head: str
    classification: str
    foot: str
    page: str
    draft: str = ""


@dataclass(frozen=True)
class Document:
    """A document: its blocks, what stands on each page, and its properties."""

    title: str
    author: str
    subject: str
    language: str
    running: Running
    blocks: tuple[Block, ...]
