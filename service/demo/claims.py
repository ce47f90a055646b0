"""Claims that the demo makes: each is checked, and printed with its outcome."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

REFUSALS = frozenset({"AccessDenied", "403", "Forbidden"})
DEAD = frozenset({*REFUSALS, "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"})


@dataclass
class Claims:
    """Prints claims as they are checked and remembers those that do not hold."""

    console: Console
    broken: list[str] = field(default_factory=list)
    checked: int = 0

    def check(self, claim: str, holds: bool, evidence: str = "") -> None:
        """Print the claim with its outcome."""
        self.checked += 1
        mark = "[green]✓[/]" if holds else "[red]✗[/]"
        tail = f" [dim]{evidence}[/]" if evidence else ""
        self.console.print(f"  {mark} {claim}{tail}")
        if not holds:
            self.broken.append(claim)

    def refused(
        self, claim: str, call: Callable[[], Any], codes: frozenset[str] = REFUSALS
    ) -> None:
        """Check that AWS refuses a call with one of the codes."""
        try:
            call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            self.check(claim, code in codes, code)
        else:
            self.check(claim, False, "AWS did it")
