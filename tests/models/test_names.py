"""Names: what is refused in them, in which words, and that anything honest passes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.names import MAX_NAME, NameRefused, check_name


@pytest.mark.parametrize(
    "name",
    [
        "ABC LLC",
        "Ada Lovelace",
        "Clínica Peña, S.L.",
        "O’Brien & Söhne GmbH",
        "3M",
        "Αθήνα ΑΕ",
        "ООО «Ромашка»",
        "مستشفى السلام",
        "בית חולים",
        "北京医院",
        "日本AGFAジャパン",
        "서울병원",
        "โรงพยาบาล",
        "भारत",
        "ABC ООО",
        "Dvořák-Ćirić",
        "Nguyễn Thị Minh Khai",
        "L'Hospitalet · Col·legi",
        "Smith/Jones + Co. (UK) *",
        "x" * MAX_NAME,
    ],
)
def test_honest_names_pass_unchanged(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("empty", ""),
        ("empty", "  "),
        ("no_letters", "..."),
        ("no_letters", "«»"),
        ("too_long", "x" * (MAX_NAME + 1)),
        ("control", "ABC\nLLC"),
        ("control", "ABC\tLLC"),
        ("control", "ABC\x00LLC"),
        ("control", "ABC\x7fLLC"),
        ("control", "ABC\u2028LLC"),
        ("bidirectional", "ABC\u202eLLC"),
        ("bidirectional", "ABC\u2066LLC"),
        ("bidirectional", "\u200fABC"),
        ("zero_width", "ABC\u200bLLC"),
        ("zero_width", "ABC\u200dLLC"),
        ("zero_width", "\ufeffABC"),
        ("zero_width", "A\u00adBC"),
        ("zero_width", "ABC\u3164"),
        ("zero_width", "ABC\ufe0f"),
        ("zero_width", "ABC\U000e0041"),
        ("unknown_character", "ABC\ue000"),
        ("unknown_character", "ABC\U0003fffe"),
        ("unknown_character", "ABC\ud800"),
        ("too_many_marks", "A" + "\u0324" * 6),
        ("mixed_scripts", "АBC"),  # Cyrillic А
        ("mixed_scripts", "ABC Вank"),  # Cyrillic В
        ("mixed_scripts", "Αlpha"),  # Greek Α
        ("mixed_scripts", "Смиθ"),
        ("mixed_scripts", "pаypal2"),
        ("mixed_scripts", "Ꮪmith"),  # Cherokee
        ("mixed_scripts", "Aա"),  # Armenian
    ],
)
def test_what_could_deceive_is_refused_with_its_reason(reason: str, name: str) -> None:
    with pytest.raises(NameRefused) as raised:
        check_name(name)
    assert raised.value.reason == reason


def test_the_refusal_says_where() -> None:
    with pytest.raises(NameRefused, match=r"U\+202E at position 4") as raised:
        check_name("ABC\u202eLLC")
    assert raised.value.position == 3


def test_a_name_is_composed_and_its_spaces_are_single() -> None:
    assert check_name("  Clínica\u00a0\u3000 Pen\u0303a ") == "Clínica Peña"


@given(st.text(max_size=60))
def test_what_passes_is_clean_and_passes_again(text: str) -> None:
    try:
        name = check_name(text)
    except NameRefused:
        return
    assert check_name(name) == name == unicodedata.normalize("NFC", name)
    assert not {unicodedata.category(char) for char in name} & {"Cc", "Cf", "Cs", "Co", "Cn"}
    assert name == name.strip()


@given(st.text(), st.sampled_from("\x00\x1b\u200b\u200e\u202e\u2028\ue000"), st.text())
def test_one_bad_character_anywhere_is_enough(before: str, bad: str, after: str) -> None:
    with pytest.raises(NameRefused):
        check_name(f"{before}{bad}{after}")
