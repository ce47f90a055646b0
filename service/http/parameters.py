"""Parameters that several calls share."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, StringConstraints

from service.requests import plain_text

Slug = Annotated[str, Path(description="The client's slug, in any case.", examples=["ABC-LLC"])]
FilterText = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(plain_text)
]
ReasonText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=500),
    AfterValidator(plain_text),
]
OptionalReason = Annotated[ReasonText | None, Query(description="Why this is done; it is kept.")]
Reason = Annotated[
    ReasonText,
    Query(description="Why this is done; it is kept.", examples=["The contract ended"]),
]
