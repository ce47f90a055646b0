"""Text into lines: measured, broken, and split into the runs that one font prints."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pdf.fonts import Face, FontBook, reads_right_to_left
from pdf.shapes import Shape, Tag, Text
from pdf.style import Style

# Long words (paths, addresses) break after these, if they must break.
_BREAKS = frozenset("/-_.@:")


@dataclass(frozen=True)
class Lines:
    """A text broken into lines in one style, at most as wide as it was asked to be.

    `rtl` is the direction of the whole text, which holds for each of its lines.
    """

    lines: tuple[str, ...]
    style: Style
    rtl: bool = False

    @property
    def height(self) -> float:
        """The height of all lines in points."""
        return len(self.lines) * self.style.leading


class LineSetter:
    """Sets single lines, and breaks texts into lines."""

    def __init__(self, fonts: FontBook) -> None:
        self._fonts = fonts

    def line(
        self, text: str, how: Style, x: float, y: float, tag: Tag | None, *, rtl: bool = False
    ) -> Text:
        """Return one unbroken line whose upper edge is at `y`."""
        base = y + how.leading / 2 + how.size * 0.36
        # Left of a right-to-left line, the space at its end would move it.
        runs = self._fonts.runs(text.rstrip() if rtl else text, self.face(how), rtl=rtl)
        if tag is not None:
            tag.add_line(text, shaped=any(run.shaped for run in runs))
        return Text(x, base, runs, how.size, how.colour, tag)

    def width(self, text: str, how: Style) -> float:
        """Return the width of a line in points."""
        face = self.face(how)
        width = face.plain_width(text)
        if width is None:
            width = sum(run.width for run in self._fonts.runs(text, face))
        return width * how.size

    def face(self, how: Style) -> Face:
        """Return the font of a style."""
        match how.role:
            case "regular":
                return self._fonts.regular
            case "bold":
                return self._fonts.bold
            case "mono":
                return self._fonts.mono

    def broken(self, text: str, how: Style, width: float) -> Lines:
        """Break a text into lines; each but the last keeps the space at which it was broken."""
        lines = [""]
        room = width
        space = self.width(" ", how)
        for piece, wide in self._pieces(text, how, width):
            if lines[-1] and wide > room:
                lines.append("")
                room = width
            lines[-1] += piece
            room -= wide + (space if piece.endswith(" ") else 0)
        lines[-1] = lines[-1].rstrip()
        return Lines(tuple(lines), how, reads_right_to_left(text))

    def _pieces(self, text: str, how: Style, width: float) -> Iterator[tuple[str, float]]:
        """Yield the words of a text, each with a space after it; too wide ones in parts.

        With each comes its width, without the space.
        """
        for word in text.split():
            rest, wide = word, self.width(word, how)
            while wide > width:
                cut = self._cut(rest, how, width)
                yield rest[:cut], self.width(rest[:cut], how)
                rest = rest[cut:]
                wide = self.width(rest, how)
            yield f"{rest} ", wide

    def _cut(self, word: str, how: Style, width: float) -> int:
        """Return where to part a word that is too wide: after a separator, else where it fits."""
        fits = 1
        while fits < len(word) and self.width(word[: fits + 1], how) <= width:
            fits += 1
        for cut in range(fits, fits // 2, -1):
            if word[cut - 1] in _BREAKS:
                return cut
        while fits > 1 and unicodedata.category(word[fits]).startswith("M"):
            fits -= 1
        return fits

    def draw(self, text: Lines, x: float, y: float, tag: Tag | None) -> list[Shape]:
        """Return the lines of a text, the first one's upper edge at `y`."""
        leading = text.style.leading
        return [
            self.line(line, text.style, x, y + n * leading, tag, rtl=text.rtl)
            for n, line in enumerate(text.lines)
        ]
