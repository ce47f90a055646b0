"""Page tokens: where a page ended, sealed, so that they can be neither read nor made up.

A token is bound to its list and to the filters it was given for.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query

from models.sealing import Keyring, SealingError
from service import problems
from service.problems import Problem

PageSize = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]
PageToken = Annotated[
    str | None,
    Query(max_length=1000, description="`next_page_token` of the page before."),
]


class Pager:
    """Makes and reads the tokens of one list under one set of filters."""

    def __init__(self, keyring: Keyring, listing: str, filters: Mapping[str, Any]) -> None:
        self._keyring = keyring
        text = json.dumps(filters, sort_keys=True, default=str)
        self._bound_to = f"page/{listing}/{hashlib.sha256(text.encode()).hexdigest()}"

    def token(self, after: list[str]) -> str:
        """Return the token of the page that follows the item with these sort keys."""
        sealed = self._keyring.seal(json.dumps(after), aad=self._bound_to)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def after(self, token: str | None, length: int) -> list[str] | None:
        """Return the sort keys in a token, None without one; raise the 400 for one not of this
        list.
        """
        if token is None:
            return None
        try:
            padded = token.encode("ascii") + b"=" * (-len(token) % 4)
            sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
            after = json.loads(self._keyring.open(sealed, aad=self._bound_to))
        except (SealingError, binascii.Error, ValueError):
            after = None
        if not isinstance(after, list) or len(after) != length:
            raise Problem(
                problems.INVALID_PAGE_TOKEN,
                "The page token was not given for this list and filters.",
            )
        return after
