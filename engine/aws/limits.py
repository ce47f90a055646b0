"""AWS's limits on names and sizes; neither local stand-in enforces them, so the provider does.

Source: IAM and S3 API references (parameter constraints), IAM quotas, S3 bucket naming rules.
Each check answers what is wrong with the value, or None.
"""

import base64
import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from engine.aws.resource import Check

IAM_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]+")
IAM_PATH = re.compile(r"/|/[!-\x7e]+/")
ARN = re.compile(r"arn:[a-z-]+:iam::(\d{12}|aws):policy/[!-\x7e]+")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
BUCKET_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def text(value: Any) -> str | None:
    """Any text."""
    return None if isinstance(value, str) else "must be text"


def base64_text(value: Any) -> str | None:
    """Base64."""
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return "must be base64"
    return None


def flag(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "must be true or false"


def choice(*values: str) -> Check:
    """One of the values."""
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def iam_name(limit: int) -> Check:
    """An IAM name of at most `limit` characters."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str) or not 1 <= len(value) <= limit:
            return f"must be text of 1 to {limit} characters"
        if not IAM_NAME.fullmatch(value):
            return "may only hold the letters A to Z, digits and _ + = , . @ -"
        return None

    return check


def iam_path(value: Any) -> str | None:
    """A path that begins and ends with a slash, at most 512 characters."""
    if not isinstance(value, str) or len(value) > 512 or not IAM_PATH.fullmatch(value):
        return "must begin and end with / and be at most 512 printable ASCII characters"
    return None


def policy_arn(value: Any) -> str | None:
    """The ARN of a managed policy, or empty text for none."""
    if value == "" or (isinstance(value, str) and len(value) <= 2048 and ARN.fullmatch(value)):
        return None
    return "must be the ARN of a managed policy"


def group_names(value: Any) -> str | None:
    """Up to ten names of groups (IAM quota: groups a user can be in)."""
    if not isinstance(value, list) or len(value) > 10:
        return "must be a list of at most 10 groups"
    return next((reason for reason in map(iam_name(128), value) if reason), None)


def bucket_name(value: Any) -> str | None:
    """A name that S3 accepts for a general purpose bucket."""
    if not isinstance(value, str) or not BUCKET.fullmatch(value) or ".." in value:
        return (
            "must be 3 to 63 of a-z, 0-9, . and -, begin and end with a letter or digit, "
            "and have no two dots together"
        )
    if value.startswith(BUCKET_PREFIXES) or value.endswith(BUCKET_SUFFIXES):
        return "begins or ends with what S3 reserves"
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return None
    return "must not look like an IP address"


def object_key(value: Any) -> str | None:
    """An object key that every tool sends to S3 as it stands."""
    if not isinstance(value, str) or not 1 <= len(value.encode("utf-8", "replace")) <= 1024:
        return "must be text of 1 to 1,024 bytes in UTF-8"
    if value.startswith(("/", "./")) or "//" in value:
        return "must not begin with / or ./ nor hold //"
    return None


def tags(limit: int) -> Check:
    """At most `limit` tags, each with characters and sizes that AWS takes."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict) or len(value) > limit:
            return f"must be a map of at most {limit} tags"
        reasons = (_tag(str(key), item) for key, item in value.items())
        return next((reason for reason in reasons if reason), None)

    return check


def _tag(key: str, value: Any) -> str | None:
    if not 1 <= len(key) <= 128 or key.lower().startswith("aws:"):
        return f"key {key!r} must have 1 to 128 characters and not begin with aws:"
    if not isinstance(value, str) or len(value) > 256:
        return f"the value of {key!r} must be text of at most 256 characters"
    if not all(map(_tag_character, key + value)):
        return f"{key!r} may only hold letters, digits, spaces and _ . : / = + - @"
    return None


def _tag_character(character: str) -> bool:
    return character in "_.:/=+-@" or unicodedata.category(character)[0] in "LZN"


def list_of_maps(value: Any) -> str | None:
    """A list whose members are maps."""
    good = isinstance(value, Sequence) and all(isinstance(item, dict) for item in value)
    return None if good and not isinstance(value, str) else "must be a list of maps"


def mapping(value: Any) -> str | None:
    """A map."""
    return None if isinstance(value, dict) else "must be a map"
