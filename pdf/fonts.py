"""The fonts of the record: which there are, which prints what, how wide a text is.

FiraGO (Latin, Greek, Cyrillic, Arabic, Hebrew, Devanagari, Thai, Georgian), Noto Sans and Cascadia
Mono come from the package `pymupdf-fonts`, under the SIL Open Font Licence. Other scripts are
printed where a font of the system, or of a folder that the caller names, has them. All are read
once a process; a document embeds only the glyphs that it uses.
"""

import importlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

import uharfbuzz as hb  # type: ignore[import-untyped]  # it ships no types
from fpdf.bidi import BidiParagraph
from fpdf.enums import TextDirection

SYSTEM_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)
_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})
_STYLES = re.compile("Bold|Oblique|Italic|Light|Thin|Black|Condensed|Mono|Serif|Math")
# What a font needs beside outlines only while text is shaped; without them it embeds faster.
_LAYOUT_TABLES = ("GDEF", "GPOS", "GSUB", "DSIG", "gasp")
# Letters below U+0590 and the blocks of these ranges stand side by side without shaping.
_PLAIN_RANGES = (range(0x20, 0x590), range(0x1E00, 0x2C80), range(0xA640, 0xA800))
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Face:
    """One font: its characters and their widths."""

    def __init__(self, name: str, face: hb.Face) -> None:
        self.name = name
        self._face = face
        self._font = hb.Font(face)
        self._em = float(face.upem)
        self._characters: hb.Set = face.unicodes
        self._widths: dict[str, float] = {}

    @classmethod
    def packaged(cls, module: str) -> Self:
        """Load a font of the package by the name of its module."""
        # The package holds each font as a module that unpacks it when imported, and has no types.
        data: bytes = importlib.import_module(f"pymupdf_fonts.{module}").fontbuffer
        return cls(module, hb.Face(data))

    def covers(self, text: str) -> bool:
        """Tell whether the font has each character of the text."""
        return all(ord(char) in self._characters for char in text)

    def plain_width(self, text: str) -> float | None:
        """Return the width of unshaped text at size 1, None if it needs shaping or another font."""
        widths = self._widths
        try:
            return sum([widths[char] for char in text])
        except KeyError:
            if not (self.covers(text) and is_plain(text)):
                return None
        widths.update((char, self._advance(char)) for char in text)
        return sum(widths[char] for char in text)

    def shaped_width(self, text: str, *, rtl: bool) -> float:
        """Return the width of shaped text at size 1."""
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.direction = "rtl" if rtl else "ltr"
        hb.shape(self._font, buffer)
        return float(sum(p.x_advance for p in buffer.glyph_positions)) / self._em

    def subset(self, characters: frozenset[str], *, shaping: bool) -> bytes:
        """Return a font file with these characters; with its layout tables only for shaping."""
        wanted = hb.SubsetInput()
        wanted.sets(hb.SubsetInputSets.UNICODE).update(map(ord, characters))
        wanted.flags = hb.SubsetFlags.NO_HINTING
        if not shaping:
            tags = wanted.sets(hb.SubsetInputSets.DROP_TABLE_TAG)
            tags.update(int.from_bytes(tag.encode(), "big") for tag in _LAYOUT_TABLES)
        data: bytes = hb.subset(self._face, wanted).blob.data
        return data

    def _advance(self, char: str) -> float:
        glyph = self._font.get_nominal_glyph(ord(char)) or 0
        return float(self._font.get_glyph_h_advance(glyph)) / self._em


class Run(NamedTuple):
    """A stretch of one line that one font prints; shaped where its script needs it.

    `width` is that at size 1.
    """

    face: Face
    text: str
    width: float
    shaped: bool = False
    rtl: bool = False


class FontBook:
    """The fonts that a record may use: the packaged ones, then those found in `folders`."""

    def __init__(self, folders: Sequence[Path] = SYSTEM_FOLDERS) -> None:
        self._folders = folders

    @cached_property
    def regular(self) -> Face:
        """The text face."""
        return Face.packaged("FiraGO_Regular")

    @cached_property
    def bold(self) -> Face:
        """The face of headings and labels."""
        return Face.packaged("FiraGO_Bold")

    @cached_property
    def mono(self) -> Face:
        """The face of commands and keys: no ligatures, zero and O told apart."""
        return Face.packaged("CascadiaMono_Regular")

    @cached_property
    def _second(self) -> Face:
        return Face.packaged("NotoSans_Regular")

    @cached_property
    def _found(self) -> tuple[Face, ...]:
        return tuple(_fonts_in(self._folders))

    def can_print(self, text: str) -> list[str]:
        """Return the characters of a text that no font prints, each once, in order; [] if none.

        Control, unassigned and private characters are never printed.
        """
        text = unicodedata.normalize("NFC", text)
        missing = (char for part in _graphemes(text) for char in self._missing(part))
        return list(dict.fromkeys(missing))

    def runs(self, text: str, face: Face, *, rtl: bool = False) -> tuple[Run, ...]:
        """Split a line, meant for `face`, into runs from left to right.

        `rtl` is the direction of the text that the line is part of.
        Raises UnprintableTextError where a character has no font.
        """
        width = face.plain_width(text)
        if width is not None:
            return (Run(face, text, width),)
        missing = self.can_print(text)
        if missing:
            raise UnprintableTextError(missing)
        return tuple(self._complex_runs(text, face, rtl))

    def _complex_runs(self, text: str, first: Face, base_rtl: bool) -> Iterator[Run]:
        whole = self._face(text, first)
        for rtl, stretch in _visual_stretches(text, base_rtl):
            parts = self._one_face_each(stretch, whole or first, rtl=rtl)
            for face, part in reversed(parts) if rtl else parts:
                width = None if rtl else face.plain_width(part)
                if width is not None:
                    yield Run(face, part, width)
                else:
                    yield Run(face, part, face.shaped_width(part, rtl=rtl), shaped=True, rtl=rtl)

    def _one_face_each(self, text: str, first: Face, *, rtl: bool) -> list[tuple[Face, str]]:
        """Split text where the font, or the need for shaping, changes."""
        keyed = (
            (self._face(part, first) or self.regular, not rtl and is_plain(part), part)
            for part in _graphemes(text)
        )
        groups = groupby(keyed, key=lambda key: key[:2])
        return [(face, "".join(part for _, _, part in group)) for (face, _), group in groups]

    def _missing(self, grapheme: str) -> list[str]:
        """Return what of a grapheme cannot be printed: single characters, or all of it."""
        single = [
            char
            for char in grapheme
            if unicodedata.category(char) in _UNPRINTABLE or not self._face(char)
        ]
        return single or ([] if self._face(grapheme) else list(grapheme))

    def _face(self, text: str, first: Face | None = None) -> Face | None:
        """Return the first face that covers all of the text."""
        for face in (first, self.regular, self._second):
            if face is not None and face.covers(text):
                return face
        return next((face for face in self._found if face.covers(text)), None)


class UnprintableTextError(ValueError):
    """No font prints some characters; `characters` holds them."""

    def __init__(self, characters: list[str]) -> None:
        named = ", ".join(f"U+{ord(char):04X}" for char in characters)
        super().__init__(
            f"no font prints {named}; install a font that has them or name its folder in the "
            "settings"
        )
        self.characters = characters


def is_plain(text: str) -> bool:
    """Tell whether a text needs no shaping: its letters stand side by side, left to right."""
    if text.isascii():
        return True
    return all(
        any(ord(char) in plain for plain in _PLAIN_RANGES) and not unicodedata.combining(char)
        for char in text
    )


@cache
def default_fonts() -> FontBook:
    """Return the fonts that are there without any setting."""
    return FontBook()


def reads_right_to_left(text: str) -> bool:
    """Tell the direction of a text: that of its first strong letter (UAX 9, rule P2)."""
    if text.isascii():
        return False
    strong = (unicodedata.bidirectional(char) for char in text)
    return next((kind != "L" for kind in strong if kind in ("L", "R", "AL")), False)


def _visual_stretches(text: str, base_rtl: bool) -> Iterator[tuple[bool, str]]:
    """Split a line into stretches as they stand from left to right, each in reading order.

    By the Unicode Bidirectional Algorithm (UAX 9). The flag tells a stretch that reads from right
    to left.
    """
    if all(unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT for char in text):
        yield False, text
        return
    base = TextDirection.RTL if base_rtl else TextDirection.LTR
    visual = BidiParagraph(text, base).get_reordered_characters()
    for level, characters in groupby(visual, key=lambda char: char.embedding_level):
        logical = sorted(characters, key=lambda char: char.character_index)
        yield level % 2 == 1, "".join(char.character for char in logical)


def _graphemes(text: str) -> Iterator[str]:
    """Split text into letters, each with the marks that belong to it."""
    start = 0
    for i in range(1, len(text)):
        if not unicodedata.category(text[i]).startswith("M"):
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _fonts_in(folders: Iterable[Path]) -> Iterator[Face]:
    """Read the fonts of the folders, plain upright ones first."""
    files = (f for folder in folders if folder.is_dir() for f in folder.rglob("*"))
    fonts = (f for f in files if f.suffix.lower() in _SUFFIXES and f.is_file())
    for file in sorted(fonts, key=lambda f: (len(_STYLES.findall(f.stem)), f.name)):
        blob = hb.Blob.from_file_path(file)
        for index in range(hb.Face(blob).count):
            face = hb.Face(blob, index)
            if _can_be_embedded(face):
                yield Face(f"{file.stem}-{index}", face)


def _can_be_embedded(face: hb.Face) -> bool:
    """Tell a font whose outlines fpdf2 embeds soundly from bitmap, colour and broken ones.

    Of CFF fonts it embeds well those alone whose glyphs have numbers (CID-keyed), not names.
    """
    tables = set(face.table_tags)
    if not {"cmap", "hmtx"} <= tables:
        return False
    return "glyf" in tables or ("CFF " in tables and hb.Font(face).get_glyph_name(1) is None)
