"""The organisation's logo: checked when it is given, made small before it is embedded."""

import base64
import binascii
import io
from functools import lru_cache
from typing import Annotated

from fpdf.svg import SVGObject
from PIL import Image
from pydantic import AfterValidator, BeforeValidator, PlainSerializer

MAXIMUM_BYTES = 256 * 1024
# Sharp in print at the size that it has in the document (300 dots an inch of 150 x 40 points).
PIXELS = (625, 167)
FORMATS = ("PNG", "JPEG")


def is_svg(data: bytes) -> bool:
    """Tell a drawing from a picture of pixels."""
    return b"<svg" in data[:1024]


def size(data: bytes) -> tuple[float, float]:
    """Return the logo's width and height, in whatever unit: their ratio is what counts."""
    if is_svg(data):
        drawing = SVGObject(data)
        if drawing.viewbox is not None:
            return drawing.viewbox[2], drawing.viewbox[3]
        return float(drawing.width or 0), float(drawing.height or 0)
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        return picture.size


@lru_cache(maxsize=8)
def small(data: bytes) -> bytes:
    """Return a picture of pixels with no more of them than the document shows.

    Raises OSError or SyntaxError where the file is damaged.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        picture.load()
        if picture.width <= PIXELS[0] and picture.height <= PIXELS[1]:
            return data
        reduced = picture.convert("RGBA" if "transparency" in picture.info else picture.mode)
        if reduced.mode not in ("L", "RGB", "RGBA", "CMYK"):
            reduced = reduced.convert("RGBA")
        reduced.thumbnail(PIXELS)
        written = io.BytesIO()
        reduced.save(written, format=picture.format, optimize=True)
        return written.getvalue()


def _decoded(value: object) -> object:
    """Take a stored logo, which is base64, as the bytes that it was."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("a logo in text form must be base64") from error


def _checked(data: bytes) -> bytes:
    if len(data) > MAXIMUM_BYTES:
        raise ValueError(f"the logo has {len(data)} bytes; at most {MAXIMUM_BYTES} are taken")
    if is_svg(data) and b"<image" in data:
        raise ValueError("the logo is an SVG that holds or names pictures; draw it with paths only")
    try:
        width, height = size(data)
        if not is_svg(data):
            small(data)
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise ValueError("the logo is no PNG, JPEG or SVG that can be read") from error
    if not (width > 0 and height > 0):
        raise ValueError("the logo is an SVG without a viewBox")
    return data


Logo = Annotated[
    bytes,
    BeforeValidator(_decoded),
    AfterValidator(_checked),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), when_used="json"),
]
"""The bytes of a PNG, JPEG or SVG file; base64 in JSON, and read back from it."""
