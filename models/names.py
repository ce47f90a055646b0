"""Names of people and companies: what is refused in them, and the keys they are compared by."""

import itertools
import unicodedata

from fontTools.unicodedata import (  # type: ignore[import-untyped]  # has no py.typed marker
    script as _unicode_script,
)

MAX_NAME = 200
"""Characters that a name may have; the printed record has room for them."""

_MAX_MARKS = 4
_SINGLE_MARKS = frozenset("\u200e\u200f\u061c")  # left-to-right, right-to-left, Arabic letter mark
_BIDIRECTIONAL = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
# Letters and marks that print nothing although Unicode does not class them as format characters.
_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)
_NEUTRAL = frozenset({"Zyyy", "Zinh", "Zzzz"})
# Scripts that one word may mix: the "highly restrictive" level of UTS #39, section 5.2.
_TOGETHER = (
    frozenset({"Latn", "Hani", "Hira", "Kana"}),
    frozenset({"Latn", "Hani", "Bopo"}),
    frozenset({"Latn", "Hani", "Hang"}),
)


class NameRefused(ValueError):
    """A name that cannot be taken. `reason` is a stable code, `position` counts from 0.

    Reasons: empty, too_long, control, bidirectional, zero_width, unknown_character, no_letters,
    too_many_marks, mixed_scripts.
    """

    def __init__(self, reason: str, detail: str, position: int | None = None) -> None:
        self.reason, self.position = reason, position
        super().__init__(detail)


def check_name(text: str) -> str:
    """The name in NFC with single spaces, or NameRefused with the first thing wrong in it.

    Refused are control, bidirectional and zero-width characters, words that mix look-alike
    scripts, and names that are empty, without a letter or digit, or longer than MAX_NAME.
    """
    if len(text) > MAX_NAME:
        raise NameRefused("too_long", f"It has {len(text)} characters; at most {MAX_NAME} fit.")
    for position, char in enumerate(text):
        _check_character(char, position)
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise NameRefused("empty", "It is empty.")
    if not any(char.isalnum() for char in name):
        raise NameRefused("no_letters", "It has neither a letter nor a digit.")
    _check_marks(name)
    for word in _words(name):
        _check_scripts(word)
    return name


def script_of(char: str) -> str:
    """The ISO 15924 code of a character's script, such as `Latn`; `Zyyy` for what all share."""
    return str(_unicode_script(char))


def entity_key(legal_name: str) -> str:
    """The key of a legal entity: two clients are the same entity when their keys are equal."""
    return fold(legal_name)


def reference_key(reference: str) -> str:
    """The key of a contract reference, for one that comes again in another case."""
    return fold(reference)


def slug_key(slug: str) -> str:
    """The key of a slug: IAM user names are unique whatever their case, so slugs are too."""
    return slug.lower()


def fold(text: str) -> str:
    """NFKC, case-folded, white space collapsed: equal for two spellings of the same words."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def _check_character(char: str, position: int) -> None:
    reason = _reason_against(char)
    if reason is not None:
        where = f"U+{ord(char):04X} at position {position + 1}"
        raise NameRefused(
            reason, f"It contains {where}, which a name cannot hold; type it anew.", position
        )


def _reason_against(char: str) -> str | None:
    category = unicodedata.category(char)
    if char in _SINGLE_MARKS or unicodedata.bidirectional(char) in _BIDIRECTIONAL:
        return "bidirectional"
    if category == "Cf" or any(low <= ord(char) <= high for low, high in _INVISIBLE):
        return "zero_width"
    if category in {"Cc", "Zl", "Zp"}:
        return "control"
    return "unknown_character" if category in {"Cn", "Co", "Cs"} else None


def _check_marks(name: str) -> None:
    for is_mark, run in itertools.groupby(name, lambda char: unicodedata.category(char) == "Mn"):
        if is_mark and len(list(run)) > _MAX_MARKS:
            raise NameRefused(
                "too_many_marks", f"It puts more than {_MAX_MARKS} marks on one letter."
            )


def _words(name: str) -> list[str]:
    runs = itertools.groupby(name, lambda char: unicodedata.category(char)[0] in "ZPS")
    return ["".join(run) for separates, run in runs if not separates]


def _check_scripts(word: str) -> None:
    scripts = {script_of(char) for char in word} - _NEUTRAL
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise NameRefused(
            "mixed_scripts",
            f"The word {word} mixes letters of several scripts ({', '.join(sorted(scripts))}), "
            "some of which look alike; type it anew in one script.",
        )
