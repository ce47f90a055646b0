"""Following an operation's events: live on a terminal, plain lines elsewhere."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from httpx_sse import connect_sse
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

_DONE_WORDS = {"create": "created", "delete": "deleted", "update": "updated", "same": "unchanged"}


@dataclass
class Board:
    """What is known of each resource, in the order in which it was first seen."""

    started: dict[str, datetime] = field(default_factory=dict)
    lines: dict[str, tuple[str, str]] = field(default_factory=dict)

    def update(self, event: dict[str, Any]) -> str | None:
        """Take in one resource event; return a plain line when a resource has ended."""
        data, at = event["data"], datetime.fromisoformat(event["at"])
        name = f"{data['type']} {data['name']}"
        if data["phase"] == "started":
            self.started[name] = at
            self.lines[name] = ("…", f"{data['operation']} …")
            return None
        took = at - self.started.get(name, at)
        word = _DONE_WORDS.get(data["operation"], data["operation"])
        mark = "✓" if data["phase"] == "done" else "✗"
        words = f"{word if mark == '✓' else 'failed'} in {took.total_seconds() * 1000:.0f} ms"
        self.lines[name] = (mark, words)
        return f"  {mark} {name:34} {words}"

    def __rich__(self) -> RenderableType:
        """Return the board as it stands, with a spinner on what is under way."""
        rows: list[RenderableType] = []
        for name, (mark, words) in self.lines.items():
            if mark == "…":
                rows.append(Spinner("dots", text=Text(f" {name:34} {words}"), style="cyan"))
            else:
                style = "green" if mark == "✓" else "red"
                rows.append(Text.assemble("  ", (mark, style), f" {name:34} {words}"))
        return Group(*rows)


def follow(console: Console, http: httpx.Client, operation: dict[str, Any]) -> dict[str, Any]:
    """Show the operation's progress until it ends; return the operation as it ended."""
    board = Board()
    if console.is_terminal:
        with Live(board, console=console, refresh_per_second=12):
            for event in _resource_events(http, operation["id"]):
                board.update(event)
    else:
        for event in _resource_events(http, operation["id"]):
            if line := board.update(event):
                console.print(line, markup=False)
    ended: dict[str, Any] = http.get(f"/v1/operations/{operation['id']}").raise_for_status().json()
    return ended


def _resource_events(http: httpx.Client, operation_id: str) -> Iterator[dict[str, Any]]:
    url = f"/v1/operations/{operation_id}/events"
    with connect_sse(http, "GET", url) as events:
        events.response.raise_for_status()
        for event in events.iter_sse():
            if event.event == "resource":
                yield json.loads(event.data)
