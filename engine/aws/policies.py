"""Policy documents: read, compared by meaning, and held to AWS's limits."""

import json
import re
from typing import Any

from engine.aws.resource import Check
from engine.provider import UNKNOWN

# IAM API reference, policyDocumentType.
CHARACTERS = re.compile(r"[\t\n\r\u0020-\u00ff]+")
# IAM counts without white space; S3 counts bytes (20 KB).
USER_LIMIT, GROUP_LIMIT, MANAGED_LIMIT, BUCKET_LIMIT = 2048, 5120, 6144, 20480
LISTS = ("Action", "NotAction", "Resource", "NotResource")
PRINCIPALS = ("Principal", "NotPrincipal")


def as_text(value: Any) -> Any:
    """A document that a program gives as a map, as JSON text; anything else unchanged."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def document(limit: int) -> Check:
    """The check for a policy of at most `limit` characters, white space not counted."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be JSON text"
        if not CHARACTERS.fullmatch(value):
            return "may only hold characters up to U+00FF, and tab, line feed, carriage return"
        size = len(re.sub(r"\s", "", value))
        if size > limit:
            return f"has {size} characters without white space; AWS takes {limit}"
        return _shape(value)

    return check


def _shape(value: str) -> str | None:
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    if not isinstance(parsed, dict) or not parsed.get("Statement"):
        return "must be a JSON object with at least one Statement"
    return None


def equivalent(one: Any, other: Any) -> bool:
    """Whether two policy documents mean the same to AWS, however they are written."""
    if one == other:
        return True
    if not one or not other or UNKNOWN in (one, other):
        return False
    try:
        return bool(meaning(one) == meaning(other))
    except ValueError:
        return False


def meaning(policy: str | dict[str, Any]) -> Any:
    """The document in one canonical form. Raises ValueError when it is not JSON."""
    parsed = json.loads(policy) if isinstance(policy, str) else policy
    if not isinstance(parsed, dict):
        return parsed
    statements = sorted(map(_statement, _listed(parsed.get("Statement"))), key=_order)
    return {**parsed, "Statement": statements}


def _statement(statement: Any) -> Any:
    if not isinstance(statement, dict):
        return statement
    canonical = dict(statement)
    for name in LISTS:
        if name in canonical:
            values = map(str, _listed(canonical[name]))
            # Actions know no case, resources do.
            canonical[name] = sorted(v.lower() if "Action" in name else v for v in values)
    for name in PRINCIPALS:
        if isinstance(canonical.get(name), dict):
            canonical[name] = {k: sorted(_listed(v)) for k, v in canonical[name].items()}
    if canonical.get("Condition"):
        canonical["Condition"] = {
            operator: {key.lower(): sorted(map(_scalar, _listed(v))) for key, v in keys.items()}
            for operator, keys in canonical["Condition"].items()
        }
    return {key: value for key, value in canonical.items() if value not in ("", {}, [])}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
