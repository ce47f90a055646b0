"""What an update prints: one line as each resource is done, then diagnostics and a summary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from engine.properties import masked
from engine.provider import Properties
from engine.urn import parse_urn

Print = Callable[[str], None]

_SIGNS = {
    "create": "+",
    "create-replacement": "++",
    "update": "~",
    "delete": "-",
    "delete-replaced": "--",
    "discard": "<",
    "replace": "+-",
    "read": ">",
    "refresh": "~",
    "import": "=",
    "same": " ",
}
_PAST = {
    "create": "created",
    "create-replacement": "created replacement",
    "update": "updated",
    "delete": "deleted",
    "delete-replaced": "deleted original",
    "discard": "discarded",
    "replace": "replaced",
    "read": "read",
    "refresh": "refreshed",
    "import": "imported",
    "same": "unchanged",
}


class Display:
    """Turns events into lines of text."""

    def __init__(self, print_line: Print, *, planning: bool) -> None:
        self._print = print_line
        self._planning = planning
        self._diagnostics: list[str] = []

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        if "resOutputsEvent" in event:
            self._done(event["resOutputsEvent"]["metadata"])
        elif "resOpFailedEvent" in event:
            self._failed(event["resOpFailedEvent"]["metadata"])
        elif "diagnosticEvent" in event:
            self._diagnostic(event["diagnosticEvent"])

    def finish(self, outputs: Properties | None, changes: Counter[str]) -> None:
        """Print what was gathered; ``outputs`` None leaves them out."""
        if self._diagnostics:
            self._print("Diagnostics:")
            for text in self._diagnostics:
                for line in text.rstrip("\n").splitlines():
                    self._print(f"  {line}")
        if outputs:
            self._print("Outputs:")
            for key, value in sorted(outputs.items()):
                self._print(f"    {key}: {json.dumps(masked(value), ensure_ascii=False)}")
        self._print("Resources:")
        for op, count in sorted(changes.items()):
            verb = f"to {op}" if self._planning and op != "same" else _PAST.get(op, op)
            self._print(f"    {_SIGNS.get(op, ' ')} {count} {verb}")

    def _done(self, metadata: dict[str, Any]) -> None:
        op = metadata["op"]
        if op == "same" and not (metadata["new"] or {}).get("custom"):
            return
        word = op if self._planning else _PAST.get(op, op)
        self._line(_SIGNS.get(op, " "), metadata, word)

    def _failed(self, metadata: dict[str, Any]) -> None:
        self._line(_SIGNS.get(metadata["op"], " "), metadata, "**failed**")

    def _line(self, sign: str, metadata: dict[str, Any], word: str) -> None:
        name = parse_urn(metadata["urn"]).name
        self._print(f" {sign:2} {metadata['type']} {name} {word}")

    def _diagnostic(self, event: dict[str, Any]) -> None:
        if event.get("ephemeral"):
            return
        self._diagnostics.append(f"{event['prefix']}{event['message']}")
