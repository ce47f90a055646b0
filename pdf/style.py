"""The look of the record: page measures in points, colours, text styles."""

from dataclasses import dataclass
from typing import Literal

from pdf.shapes import Colour

A4_WIDTH, A4_HEIGHT = 595.28, 841.89
MARGIN = 54.0
TOP = 60.0
BOTTOM = 48.0
HEAD_BASE = 36.0
FOOT_BASE = 28.0
LOGO_WIDTH, LOGO_HEIGHT = 150.0, 40.0

INK: Colour = (31, 36, 48)
NAVY: Colour = (20, 48, 84)
ACCENT: Colour = (0, 112, 132)
MUTED: Colour = (98, 106, 120)
ALERT: Colour = (150, 42, 36)
RULE: Colour = (214, 219, 226)
PANEL: Colour = (243, 245, 248)
NOTICE: Colour = (233, 244, 246)
WATERMARK: Colour = (236, 236, 238)

Role = Literal["regular", "bold", "mono"]


@dataclass(frozen=True)
class Style:
    """How a text is set: font role, size, distance of base lines, colour."""

    role: Role
    size: float
    leading: float
    colour: Colour = INK


TITLE = Style("bold", 21, 26, NAVY)
ISSUER = Style("bold", 10, 14, ACCENT)
SUBTITLE = Style("regular", 10, 14, MUTED)
HEADING = Style("bold", 11.5, 15, NAVY)
BODY = Style("regular", 9, 12.2)
STRONG = Style("bold", 9, 12.6)
SMALL = Style("regular", 7.6, 10.4, MUTED)
LABEL = Style("regular", 8.6, 11.8, MUTED)
CELL = Style("regular", 8.6, 11.8)
COLUMN_TITLE = Style("bold", 8.6, 11.8, NAVY)
MONO = Style("mono", 8.4, 11.8)
CODE = Style("mono", 8, 12)
CALLOUT_TITLE = Style("bold", 9.4, 13.4, ACCENT)
STEP_NUMBER = Style("bold", 9, 12.6, ACCENT)
RUNNING = Style("regular", 7.6, 10, MUTED)
CLASS_MARK = Style("bold", 7.6, 10, ALERT)
DRAFT = Style("bold", 130, 130, WATERMARK)
