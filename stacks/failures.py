"""What went wrong in an update, told once and in one form for both engines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.aws.failures import TRANSIENT, UNREACHABLE

UNKNOWN_CODE = "EngineError"
STATE_NOT_WRITTEN = "StateNotWritten"
"""Code of a failure because the disk of the engine's state is full, or takes no changes."""

_AWS_CODE_PATTERNS = (
    # The official AWS plugin: "... api error EntityAlreadyExists: User with name ...".
    re.compile(r"api error (?P<code>[A-Z][A-Za-z]+):"),
    # ... and for errors that the SDK for Go knows by type: "..., RequestID: x, NoSuchEntity: ...".
    re.compile(r"RequestID: [^,]*, (?:HostID: [^,]*, )?(?P<code>[A-Z][A-Za-z]+):"),
    # botocore itself, and the embedded engine's provider: "… (EntityAlreadyExists)".
    re.compile(r"An error occurred \((?P<code>[A-Z][A-Za-z.]+|[1-5]\d\d)\)"),
    re.compile(r" \((?P<code>[A-Z][A-Za-z]+(?:\.[A-Za-z]+)*|[1-5]\d\d)\)"),
)
_NOT_REACHED = re.compile(r"request send failed|https response error StatusCode: 0\b|dial tcp")
"""What the official AWS plugin says when no answer came."""

_NO_ROOM = re.compile(
    r"no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE
)
"""What an engine says that could not write its state (errno ENOSPC, EDQUOT, EROFS)."""

_PLAIN_WORDS = {
    STATE_NOT_WRITTEN: "the engine's state can't be written; free space on its disk",
    UNREACHABLE: "AWS can't be reached or does not answer",
    "AccessDenied": "AWS refused the call: the service's own credentials lack a permission",
    "AccessDeniedException": (
        "AWS refused the call: the service's own credentials lack a permission"
    ),
    "EntityAlreadyExists": "something of that name is in the AWS account already and is not ours",
    "BucketAlreadyOwnedByYou": (
        "the bucket is in the account already; `handover foundation adopt` takes it over as it is"
    ),
    "BucketAlreadyExists": (
        "a bucket of that name exists already; if it is yours, `handover foundation adopt` takes "
        "it over as it is, else choose another name"
    ),
    "LimitExceeded": "a quota of the AWS account is reached",
    "NoSuchBucket": "the bucket does not exist; the foundation has to be applied first",
    "NoSuchEntity": "something that the area needs is missing in IAM",
    "Throttling": "AWS asks for fewer calls; try again in a minute",
    "ServiceUnavailable": "AWS does not answer at the moment; try again in a minute",
    "MalformedPolicyDocument": "AWS does not accept the policy",
    "InvalidClientTokenId": "the service's own AWS credentials are not valid",
    "ExpiredToken": "the service's own AWS credentials have expired",
}

LOCKED = "StackLocked"
"""Code of a failure because another update holds the stack."""
ENGINE_KILLED = "EngineKilled"
"""Code of a failure because something killed the engine's program, the system for want of memory
perhaps."""
OUR_OWN = frozenset({STATE_NOT_WRITTEN, LOCKED, ENGINE_KILLED})
"""Codes of failures that may pass by themselves and that AWS has no part in."""
CANCELLED = "Cancelled"
"""Code of an update that was ended early because the caller asked for it."""


@dataclass(frozen=True)
class Failure:
    """A failure for people and programs: the AWS code, and one plain sentence."""

    code: str
    detail: str

    @property
    def transient(self) -> bool:
        """Tell whether the same may succeed later: AWS throttles, is out of order or can't be
        reached, the state's disk is full, the stack is held, or the engine's program was killed.
        """
        return self.code in TRANSIENT or self.code in OUR_OWN


class StackError(Exception):
    """An update of a stack failed; what had been made is still recorded in the stack."""

    def __init__(self, stack: str, failure: Failure) -> None:
        super().__init__(f"{stack}: {failure.code}: {failure.detail}")
        self.stack = stack
        self.failure = failure


class CollisionError(StackError):
    """Something of the area's name exists in AWS and does not carry our tag."""


def code_in(text: str) -> str | None:
    """Return the AWS error code that a diagnostic's text contains, if any."""
    for pattern in _AWS_CODE_PATTERNS:
        if found := pattern.search(text):
            return found["code"]
    if _NO_ROOM.search(text):
        return STATE_NOT_WRITTEN
    return UNREACHABLE if _NOT_REACHED.search(text) else None


def classify(diagnostics: Sequence[tuple[str, str]]) -> Failure:
    """Return the failure told by error diagnostics: pairs of resource URN (or "") and text.

    The first one with an AWS code wins, one that does not pass by itself before one that does;
    the text itself is passed on only in its first line, as engines mask secrets in diagnostics
    and nothing else.
    """
    told = [
        Failure(code, _sentence(code, urn, text))
        for urn, text in diagnostics
        if (code := code_in(text))
    ]
    if told:
        return min(told, key=lambda failure: failure.transient)
    for urn, text in diagnostics:
        return Failure(UNKNOWN_CODE, _sentence(UNKNOWN_CODE, urn, text))
    return Failure(UNKNOWN_CODE, "The engine stopped without saying why; its log has more.")


def cancelled(*, before: str = "", after: str = "") -> Failure:
    """Return the failure of an update that ended early as asked, by the URNs around its end.

    The official program does not say what it would have begun next.
    """
    recorded = "What had begun was finished and recorded."
    if before:
        where = f"before {_resource_of(before)}"
    elif after:
        where = f"after {_resource_of(after)}"
    else:
        return Failure(CANCELLED, "Stopped as asked before anything was begun.")
    return Failure(CANCELLED, f"Stopped {where.removesuffix(': ')} as asked. {recorded}")


def _sentence(code: str, urn: str, text: str) -> str:
    subject = _resource_of(urn)
    first_line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    words = _PLAIN_WORDS.get(code)
    return f"{subject}{words} ({first_line})" if words else f"{subject}{first_line}"


def _resource_of(urn: str) -> str:
    if "::" not in urn:
        return ""
    *_, type_, name = urn.split("::")
    return f"{type_.rsplit(':', 1)[-1]} {name}: "
