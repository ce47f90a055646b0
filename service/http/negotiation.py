"""Reads what a caller asks for in headers: waiting, a PDF instead of JSON, preconditions, an
idempotency key.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import (
    parse_accept_header,
    parse_dict_header,
    parse_etags,
    unquote_header_value,
)

from service import problems
from service.problems import FieldError, Problem

JSON = "application/json"
PDF = "application/pdf"
_MAX_KEY_LENGTH = 255


@dataclass(frozen=True)
class Waiting:
    """How long the caller is willing to wait, in seconds; None when it did not ask to."""

    seconds: float | None = None

    def within(self, limit: float) -> float:
        """Return the seconds to wait, at most `limit`; 0 when the caller did not ask to."""
        return min(self.seconds or 0, limit)

    def headers(self, limit: float) -> dict[str, str]:
        """Return `Preference-Applied` (RFC 7240, section 3) when the preference was honoured."""
        if self.seconds is None:
            return {}
        return {"Preference-Applied": f"wait={self.within(limit):.0f}"}


async def waiting(
    prefer: Annotated[
        list[str] | None,
        Header(description="`wait=N`: answer when the operation ends, at most N seconds later."),
    ] = None,
) -> Waiting:
    """Return the `wait` preference (RFC 7240); anything not understood is ignored, as the RFC
    says.
    """
    preferences = parse_dict_header(",".join(prefer or ()))
    value = next((v for k, v in preferences.items() if k.strip().lower() == "wait"), None) or ""
    seconds = value.split(";")[0].strip()
    known = seconds.isascii() and seconds.isdecimal() and len(seconds) <= 6
    return Waiting(float(seconds) if known else None)


async def wants_pdf(
    accept: Annotated[
        str | None,
        Header(description="`application/pdf` waits for the operation and answers the record."),
    ] = None,
) -> bool:
    """Return whether the caller prefers a PDF to JSON (q values honoured); 406 when it wants
    neither.
    """
    if not accept:
        return False
    offers = parse_accept_header(accept, MIMEAccept)
    best = offers.best_match([JSON, PDF])
    if best is None and offers.quality("application/problem+json") <= 0:
        raise Problem(problems.NOT_ACCEPTABLE, f"This address answers {JSON} or {PDF}.")
    return best == PDF


async def idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="A repeated request with it answers the same operation; at most 255"
            " characters, bare or quoted.",
            examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        ),
    ] = None,
) -> str | None:
    """Return the key without quotes (RFC 8941 string, or bare), or None; 400 for one that cannot
    be.
    """
    if idempotency_key is None:
        return None
    key = unquote_header_value(idempotency_key.strip())
    if not 0 < len(key) <= _MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        reason = f"must be 1 to {_MAX_KEY_LENGTH} printable ASCII characters"
        raise Problem(
            problems.INVALID_PARAMETER,
            f"The Idempotency-Key header {reason}.",
            errors=[FieldError("Idempotency-Key", reason)],
        )
    return key


def matches(header: str | None, etag: str) -> bool:
    """Return whether an `If-None-Match` or `If-Match` header names this entity tag (weak
    comparison).
    """
    return header is not None and parse_etags(header).contains_weak(etag.strip('"'))


WaitingDep = Annotated[Waiting, Depends(waiting)]
WantsPdf = Annotated[bool, Depends(wants_pdf)]
IdempotencyKeyDep = Annotated[str | None, Depends(idempotency_key)]
IfMatch = Annotated[str | None, Header(description="Only if the client still has this `ETag`.")]
