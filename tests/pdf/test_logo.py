"""The organisation's logo: a PNG, a JPEG or an SVG, embedded small."""

import base64
import io
from typing import Any

import pikepdf
import pytest
from PIL import Image
from pydantic import ValidationError

from pdf import Organisation, RecordInput, render
from pdf.style import LOGO_HEIGHT, LOGO_WIDTH
from tests.pdf.records import SECRET, SVG, make_record, pages_of


def picture(kind: str, mode: str = "RGB", side: tuple[int, int] = (300, 100)) -> bytes:
    """A gradient as a file."""
    written = io.BytesIO()
    Image.radial_gradient("L").resize(side).convert(mode).save(written, format=kind)
    return written.getvalue()


def with_logo(logo: Any) -> RecordInput:
    """A record of an organisation with a logo."""
    organisation = make_record().organisation.model_dump() | {"logo": logo}
    return make_record(organisation=Organisation(**organisation))


PLAIN = len(render(make_record(), SECRET))
LOGOS = {
    "PNG": picture("PNG"),
    "PNG with transparency": picture("PNG", "RGBA"),
    "PNG with a palette": picture("PNG", "P", (2000, 900)),
    "JPEG": picture("JPEG"),
    "JPEG for print": picture("JPEG", "CMYK", (1800, 300)),
    "SVG": SVG,
}


@pytest.mark.parametrize("logo", LOGOS.values(), ids=LOGOS)
def test_a_logo_is_shown_and_embedded_small(logo: bytes) -> None:
    pdf = render(with_logo(logo), SECRET)
    assert PLAIN < len(pdf) < PLAIN + 100_000
    assert len(pages_of(pdf)) == 4
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        pictures = list(opened.pages[0].get_images().values())
        assert len(pictures) == (0 if logo is SVG else 1)
        for found in pictures:
            assert int(found.Width) * 72 / LOGO_WIDTH <= 301
            assert int(found.Height) * 72 / LOGO_HEIGHT <= 301
    assert render(with_logo(logo), SECRET) == pdf


def test_a_logo_survives_being_stored() -> None:
    """The frozen input is JSON; the pages stay the same (SP-15)."""
    record = with_logo(LOGOS["PNG"])
    stored = record.model_dump(mode="json")
    assert stored["organisation"]["logo"] == base64.b64encode(LOGOS["PNG"]).decode()
    assert RecordInput.model_validate(stored) == record


@pytest.mark.parametrize(
    ("logo", "reason"),
    [
        (b"GIF89a", "no PNG, JPEG or SVG"),
        (b"", "no PNG, JPEG or SVG"),
        (LOGOS["PNG"][:60], "no PNG, JPEG or SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><rec", "no PNG, JPEG or SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "without a viewBox"),
        (SVG.replace(b"</svg>", b'<image href="http://127.0.0.1/"/></svg>'), "holds or names"),
        (bytes(300_000), "at most 262144"),
        ("not base64!", "must be base64"),
    ],
    ids=["GIF", "empty", "cut PNG", "cut SVG", "no measures", "foreign", "large", "no base64"],
)
def test_what_is_no_logo_is_refused(logo: bytes | str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        with_logo(logo)


def test_the_logo_is_decoration_beside_the_name() -> None:
    """A screen reader hears the organisation's name once; the picture adds nothing."""
    with pikepdf.open(io.BytesIO(render(with_logo(SVG), SECRET))) as pdf:
        content = pdf.pages[0].Contents.read_bytes()
        assert b"/Artifact BMC" in content
        assert "Example Health, S.L." in pages_of(render(with_logo(SVG), SECRET))[0]
