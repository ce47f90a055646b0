"""The drawings in docs/states.md show the moves that the code permits, no more and no fewer."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from models.clients import CLIENT_TRANSITIONS
from models.operations import OPERATION_TRANSITIONS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "states.md"
ARROW = re.compile(r"^ {4}(\w+) --> (\w+): .", re.MULTILINE)

State = TypeVar("State", bound=StrEnum)
Edges = set[tuple[str, str]]


def drawn(heading: str) -> Edges:
    """The arrows between states in the drawing under a heading."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return {(found[1], found[2]) for found in ARROW.finditer(section)}


def permitted(table: Mapping[State, frozenset[State]]) -> Edges:
    return {(origin.value, to.value) for origin, after in table.items() for to in after}


def test_the_drawing_of_an_operation_is_the_codes() -> None:
    assert drawn("An operation") == permitted(OPERATION_TRANSITIONS)


def test_the_drawing_of_a_client_is_the_codes() -> None:
    assert drawn("A client") == permitted(CLIENT_TRANSITIONS)
