"""Names of every script are printed right, or refused; never as boxes."""

from pathlib import Path

import pytest

from pdf import FontBook, can_print, render
from pdf.fonts import Face, UnprintableTextError, default_fonts, reads_right_to_left
from tests.pdf.records import SECRET, make_record, pages_of, poppler_text


@pytest.mark.parametrize(
    "name",
    [
        "Łukasz Żółć, Nguyễn Thị Ánh, Þórr, Strauß, Ionuţ Brânză",
        "Ελληνική Ιατρική Α.Ε.",
        "ООО «Здоровье»",
        "شركة الأمل للأبحاث الطبية",
        "מכון המחקר הרפואי",
        "हिन्दी संस्थान",
        "สถาบันวิจัย",
        "ABC & Co. (R&D) – “Quality” €100 №7 ½ µm 2²",
    ],
)
def test_packaged_fonts_print_these_scripts(name: str) -> None:
    assert FontBook(folders=()).can_print(name) == []


def test_decomposed_letters_are_printed_as_composed_ones() -> None:
    assert can_print("Jose\u0301 Mun\u0303oz") == []


@pytest.mark.parametrize("char", ["\u200b", "\u202e", "\x07", "\ue000", "\U0010ffff", "\ud800"])
def test_what_has_no_shape_is_refused(char: str) -> None:
    assert can_print(f"ABC{char}LLC{char}") == [char]


def test_missing_characters_are_named_once_and_in_order() -> None:
    assert FontBook(folders=()).can_print("株式会社 ABC 株") == ["株", "式", "会", "社"]


def test_a_folder_of_fonts_adds_scripts(tmp_path: Path) -> None:
    """A font that is no part of the package prints what the packaged ones lack."""
    fonts = FontBook(folders=(tmp_path,))
    face = default_fonts().mono
    (tmp_path / "Extra.ttf").write_bytes(face.subset(frozenset("ABC\u2588"), shaping=True))
    (tmp_path / "broken.ttf").write_bytes(b"no font at all")
    (tmp_path / "notes.txt").write_text("not a font either")
    assert FontBook(folders=()).can_print("\u2588") == ["\u2588"]
    assert fonts.can_print("\u2588") == []
    assert "\u2588" in pages_of(render(make_record(purpose="A \u2588 B"), SECRET, fonts=fonts))[0]


def test_fonts_that_cannot_be_embedded_soundly_are_left_out(tmp_path: Path) -> None:
    """A CFF font whose glyphs have names would give a malformed PDF."""
    named = Face.packaged("FiraMono_Regular").subset(frozenset("A\u25fb\u25a0"), shaping=True)
    (tmp_path / "Named.otf").write_bytes(named)
    assert FontBook(folders=(tmp_path,)).can_print("\u25a0") == ["\u25a0"]


def test_a_second_font_keeps_its_place_in_right_to_left_text(tmp_path: Path) -> None:
    face = default_fonts().mono
    (tmp_path / "Extra.ttf").write_bytes(face.subset(frozenset("\u2588"), shaping=True))
    fonts = FontBook(folders=(tmp_path,))
    runs = fonts.runs("שלום \u2588 עולם", fonts.regular, rtl=True)
    assert [run.text.strip() for run in runs] == ["עולם", "\u2588", "שלום"]


def test_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    assert FontBook(folders=(tmp_path / "absent",)).can_print("株") == ["株"]


def test_plain_text_is_one_run_in_its_own_face() -> None:
    fonts = default_fonts()
    (run,) = fonts.runs("Example Health, S.L.", fonts.bold)
    assert run.face is fonts.bold
    assert not run.shaped
    assert run.width > 5


def test_numbers_stand_left_of_the_hebrew_they_follow() -> None:
    """UAX 9: digits after right-to-left letters read left to right, but stand to their left."""
    fonts = default_fonts()
    runs = fonts.runs("No. שלום 123 (ABC)", fonts.regular)
    assert [run.text.strip() for run in runs] == ["No.", "123", "שלום", "(ABC)"]
    assert [run.rtl for run in runs] == [False, False, True, False]


def test_a_right_to_left_text_keeps_its_direction_on_each_line() -> None:
    fonts = default_fonts()
    runs = fonts.runs("ABC שלום", fonts.regular, rtl=True)
    assert [run.text.strip() for run in runs] == ["שלום", "ABC"]


def test_direction_is_that_of_the_first_strong_letter() -> None:
    assert reads_right_to_left("123 שלום ABC")
    assert not reads_right_to_left("ABC שלום")
    assert not reads_right_to_left("123 …")


def test_arabic_letters_are_joined() -> None:
    """Joined letters have other glyphs, and other widths, than letters that stand alone."""
    face = default_fonts().regular
    apart = sum(face.shaped_width(letter, rtl=True) for letter in "محمد")
    assert face.shaped_width("محمد", rtl=True) != pytest.approx(apart, rel=0.01)


def test_poppler_reads_arabic_and_hebrew_in_order() -> None:
    names = {"client_legal_name": "مركز البحث", "purpose": "מכון המחקר"}
    text = poppler_text(render(make_record(**names), SECRET))
    for name in names.values():
        assert name in text


def test_runs_refuse_what_no_font_has() -> None:
    fonts = FontBook(folders=())
    with pytest.raises(UnprintableTextError, match=r"U\+682A") as refusal:
        fonts.runs("株", fonts.regular)
    assert refusal.value.characters == ["株"]
