"""The texts of the record, one JSON file a language under `pdf/catalogues/`.

A language is added by adding a file with the same keys as `en.json`. Texts are filled with
`str.format`; a text is a string or, under the keys whose values are lists, a list of strings.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from importlib import resources


class UnknownLanguageError(ValueError):
    """There is no catalogue for the language; the message names those that exist."""

    def __init__(self, language: str) -> None:
        super().__init__(
            f"no catalogue for the language {language!r}; there are: {', '.join(languages())}"
        )


class Catalogue:
    """The texts of one language, by key."""

    def __init__(self, language: str, texts: Mapping[str, str | list[str]]) -> None:
        self.language = language
        self._texts = texts

    def __getitem__(self, key: str) -> str:
        """Return the text of the key; raises KeyError where the key is unknown or a list."""
        text = self._texts[key]
        if not isinstance(text, str):
            raise KeyError(f"{key} is a list of texts")
        return text

    def fill(self, key: str, **values: object) -> str:
        """Return the text of the key with its fields filled in."""
        return self[key].format(**values)

    def listed(self, key: str, **values: object) -> tuple[str, ...]:
        """Return the list of texts of the key, each filled in."""
        return tuple(text.format(**values) for text in self.raw_list(key))

    def raw_list(self, key: str) -> tuple[str, ...]:
        """Return the list of texts of the key as it stands in the catalogue."""
        texts = self._texts[key]
        if isinstance(texts, str):
            raise KeyError(f"{key} is one text")
        return tuple(texts)

    @property
    def keys(self) -> frozenset[str]:
        """All keys, to compare catalogues."""
        return frozenset(self._texts)

    def date(self, day: date) -> str:
        """Return the day written out, like `21 November 2026`."""
        month = self.listed("date.months")[day.month - 1]
        return self.fill("date.day", day=day.day, month=month, year=day.year)

    def moment(self, moment: datetime, zone: str) -> str:
        """Return day, time to the minute and zone."""
        return self.fill("date.moment", day=self.date(moment), time=f"{moment:%H:%M}", zone=zone)


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a catalogue, sorted."""
    folder = resources.files("pdf") / "catalogues"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".json")))


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of the language; raises UnknownLanguageError."""
    if language not in languages():
        raise UnknownLanguageError(language)
    file = resources.files("pdf") / "catalogues" / f"{language}.json"
    return Catalogue(language, json.loads(file.read_text(encoding="utf-8")))
