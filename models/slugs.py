"""Slugs: a client's name in paths, in IAM and in policies (SP-17, SP-19).

Made of ASCII letters, digits and single hyphens only, so that nothing in it can mean anything to
S3, to an IAM policy (`*`, `?`, `${`), to a URL or to a file system.
"""

import re
import unicodedata

from anyascii import anyascii

from models.names import NameRefused, check_name, script_of

__all__ = ["MAX_SLUG", "NameRefused", "SlugError", "check_name", "slug_for", "validate_slug"]

MAX_SLUG = 50
"""Characters; with `_s3_access` and the like it stays within what IAM permits."""

RESERVED = {
    "awslogs": "AWS delivers its own logs there",
    "clients": "it is the name of the IAM group and of a part of the API",
    "foundation": "it is the name of what all areas share",
    "handover": "it is the name of this service",
    "images": "it is the name of the folder inside each area",
    "main": "it is the name of the foundation's stack",
    "new": "interfaces use it for a client that is being entered",
}
"""Names that no client can have, in lower case, and why."""

_DROPPED = re.compile(r"[.,'‘’ʼ]")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_SLUG = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


class SlugError(ValueError):
    """No slug can be made, or the given one cannot be used.

    `reason` is a stable code: other_script, empty, too_long, characters, reserved. `suggested` is
    a slug that could be given instead, or None.
    """

    def __init__(self, reason: str, detail: str, suggested: str | None = None) -> None:
        self.reason, self.suggested = reason, suggested
        super().__init__(detail)


def slug_for(legal_name: str) -> str:
    """The slug of a legal name: `ABC LLC` → `ABC-LLC`, `Clínica Peña, S.L.` → `Clinica-Pena-SL`.

    Latin letters lose their diacritics, `.`, `,` and apostrophes go, anything else becomes one
    hyphen, case stays. Raises SlugError, also for a name in another script (with a suggestion),
    and NameRefused for a name that `check_name` refuses.
    """
    name = check_name(legal_name)
    if any(_is_foreign(char) for char in name):
        raise SlugError(
            "other_script",
            "The name has letters outside the Latin script; give the slug to be used for it.",
            _suggestion(anyascii(name)),
        )
    return _checked(_joined(name))


def validate_slug(text: str) -> str:
    """The slug as given, if it can be used; raises SlugError, with a suggestion where possible."""
    if not text.isascii() or not _SLUG.fullmatch(text):
        raise SlugError(
            "characters" if text else "empty",
            "A slug consists of letters A-Z and a-z, digits, and single hyphens between them.",
            _suggestion(anyascii(text)),
        )
    return _checked(text)


def _checked(slug: str) -> str:
    if not slug:
        raise SlugError("empty", "Nothing is left of the name; give the slug to be used for it.")
    if len(slug) > MAX_SLUG:
        raise SlugError(
            "too_long",
            f"The slug has {len(slug)} characters; at most {MAX_SLUG} are possible. "
            "Give a shorter one.",
            _suggestion(slug),
        )
    if reason := RESERVED.get(slug.lower()):
        raise SlugError(
            "reserved", f"{slug} is reserved: {reason}. Give another slug.", f"{slug}-client"
        )
    return slug


def _joined(name: str) -> str:
    latin = "".join(_folded(char) for char in name)
    return _SEPARATORS.sub("-", _DROPPED.sub("", latin)).strip("-")


def _folded(char: str) -> str:
    category = unicodedata.category(char)[0]
    if category == "M":
        return ""
    return anyascii(char) if category in "LN" else char


def _is_foreign(char: str) -> bool:
    if char.isascii() or _DROPPED.match(char):
        return False
    category, script = unicodedata.category(char)[0], script_of(char)
    if category == "L":
        return script != "Latn"
    return category in "MN" and script not in {"Latn", "Zyyy", "Zinh"}


def _suggestion(text: str) -> str | None:
    """The longest usable slug made from the text's beginning, cut between words where possible."""
    slug = _joined(text)
    if len(slug) > MAX_SLUG:
        whole_words, _, _ = slug[: MAX_SLUG + 1].rpartition("-")
        slug = whole_words or slug[:MAX_SLUG]
    return slug if slug and slug.lower() not in RESERVED else None
