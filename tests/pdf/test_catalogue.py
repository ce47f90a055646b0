"""Each language says all that English says."""

import re
import string
from datetime import date

import pytest

from pdf import UnknownLanguageError, languages, render
from pdf.catalogue import catalogue
from tests.pdf.records import SECRET, make_record

ENGLISH = catalogue("en")
LISTS = (
    "date.months",
    "errors.rows",
    "handling.rules",
    "profile.hardened",
    "graphical.path_places",
    "graphical.acl_places",
)


def fields_of(language: str, key: str) -> set[str]:
    """The fields that a text, or a list of texts, asks for."""
    texts = catalogue(language)
    try:
        parts: tuple[str, ...] = (texts[key],)
    except KeyError:
        parts = texts.raw_list(key)
    return {name for part in parts for _, name, _, _ in string.Formatter().parse(part) if name}


def test_english_and_spanish_are_there() -> None:
    assert languages() == ("en", "es")


@pytest.mark.parametrize("language", languages())
def test_catalogues_have_the_same_keys_and_fields(language: str) -> None:
    assert catalogue(language).keys == ENGLISH.keys
    for key in ENGLISH.keys:
        assert fields_of(language, key) == fields_of("en", key), key


@pytest.mark.parametrize("language", languages())
def test_lists_are_equally_long(language: str) -> None:
    for key in ENGLISH.keys:
        if key.startswith(LISTS):
            assert len(catalogue(language).raw_list(key)) == len(ENGLISH.raw_list(key))
    assert len(catalogue(language).raw_list("date.months")) == 12


def test_spanish_is_translated() -> None:
    """Only texts that are the same in both languages may be equal."""
    same = {key for key in ENGLISH.keys if _is_same(key)}
    assert same == {
        "date.moment",
        "list.separator",
        "key.bucket",
        "errors.error",
        "approvals.commit",
        "steps.python.title",
        "steps.rclone.title",
    }


def _is_same(key: str) -> bool:
    try:
        return ENGLISH[key] == catalogue("es")[key]
    except KeyError:
        return ENGLISH.raw_list(key) == catalogue("es").raw_list(key)


def test_dates_are_written_out() -> None:
    assert ENGLISH.date(date(2026, 3, 1)) == "1 March 2026"
    assert catalogue("es").date(date(2026, 3, 1)) == "1 de marzo de 2026"


def test_an_unknown_language_names_those_that_exist() -> None:
    with pytest.raises(UnknownLanguageError, match=re.escape("'fr'; there are: en, es")):
        render(make_record(language="fr"), SECRET)
