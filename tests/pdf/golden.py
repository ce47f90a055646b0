"""Golden pictures: what the pages look like, at a glance (`python -m tests.pdf.golden` renews).

They are small and compared loosely, by the mean darkness of small fields, so that they tell a
layout from another one but not one version of the renderer from the next.
"""

import io
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from PIL import Image, ImageChops

from pdf import Organisation, render
from tests.pdf.records import LONGEST, SECRET, SIGNATURES, SVG, make_record

FOLDER = Path(__file__).with_name("golden")
# Pixels a point, pixels a field, and how far a field's mean darkness may be off (of 255).
SCALE = 0.36
FIELD = 6
TOLERANCE = 20

_LOGO = Organisation(**(make_record().organisation.model_dump() | {"logo": SVG}))
_SIGNED = {"organisation": _LOGO, "approvals": SIGNATURES}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "short-en": _SIGNED,
    "short-es": _SIGNED | {"language": "es", "profile": "read-only"},
    "longest-en": LONGEST | {"draft": True, "profile": "write-only"},
    "longest-es": LONGEST | {"language": "es", "profile": "sp-050-003"},
}
"""Each document's name and what its record says differently."""


def pictures(name: str) -> list[Image.Image]:
    """Each page of a document, in shades of grey, as Chromium's renderer draws it."""
    pdf = render(make_record(**DOCUMENTS[name]), SECRET)
    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as opened:
        return [page.render(scale=SCALE).to_pil().convert("L") for page in opened]


def file(name: str, number: int) -> Path:
    """Where a page's golden picture is."""
    return FOLDER / f"{name}-{number}.png"


def difference(one: Image.Image, other: Image.Image) -> int:
    """How far the two are off where they are most: 0 to 255, 255 for another size of page."""
    if one.size != other.size:
        return 255
    fields = (one.width // FIELD, one.height // FIELD)
    means = (picture.resize(fields, Image.Resampling.BOX) for picture in (one, other))
    return max(ImageChops.difference(*means).tobytes())


def renew() -> None:
    """Write all golden pictures anew."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    for name in DOCUMENTS:
        for number, picture in enumerate(pictures(name), 1):
            picture.quantize(16).save(file(name, number), optimize=True)


if __name__ == "__main__":
    renew()
