"""Checking a move between states against a table of the permitted ones."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)


class IllegalTransition(Exception):
    """A move between two states that the table of transitions does not permit.

    `subject` names the thing, `origin` and `to` are the values of the states.
    """

    def __init__(self, subject: str, origin: str, to: str, permitted: list[str]) -> None:
        self.subject, self.origin, self.to, self.permitted = subject, origin, to, permitted
        choice = f"from there it can only become {' or '.join(permitted)}"
        super().__init__(
            f"{subject} is {origin} and cannot become {to}; "
            + (choice if permitted else "that state is final")
            + "."
        )


def check_transition(
    table: Mapping[State, frozenset[State]], origin: State, to: State, subject: str
) -> None:
    """Raise IllegalTransition unless `table` permits the move from `origin` to `to`."""
    if to not in table[origin]:
        raise IllegalTransition(subject, origin, to, sorted(table[origin]))
