"""The pages look as they did when somebody last looked at them."""

from pathlib import Path

import pytest
from PIL import Image

from tests.pdf.golden import DOCUMENTS, FOLDER, TOLERANCE, difference, file, pictures


def golden(path: Path) -> Image.Image:
    """A stored picture in shades of grey."""
    with Image.open(path) as stored:
        return stored.convert("L")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pages_look_like_their_golden_pictures(name: str, tmp_path: Path) -> None:
    pages = pictures(name)
    assert len(pages) == len(list(FOLDER.glob(f"{name}-*.png")))
    for number, page in enumerate(pages, 1):
        page.save(tmp_path / f"{name}-{number}.png")
        off = difference(page, golden(file(name, number)))
        assert off <= TOLERANCE, (
            f"page {number} of {name} looks different (by {off}, at most {TOLERANCE}): compare "
            f"{tmp_path} with {FOLDER}; if it is as it should be, run python -m tests.pdf.golden"
        )


def test_the_comparison_sees_a_moved_block_and_no_noise() -> None:
    page = pictures("short-en")[0]
    noisy = page.point(lambda shade: min(255, shade + 6))
    assert difference(page, noisy) <= TOLERANCE
    moved = page.copy()
    moved.paste(page.crop((0, 120, page.width, page.height - 20)), (0, 128))
    assert difference(page, moved) > TOLERANCE
    assert difference(page, pictures("short-es")[0]) > TOLERANCE
