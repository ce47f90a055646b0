"""Command lines of the ``pulumi`` program, as far as the Automation API writes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from engine.errors import EngineError, UnsupportedError

# Flags that any verb takes and that mean nothing here.
_IGNORED_SWITCHES = {"non-interactive", "yes", "skip-preview", "logflow", "logtostderr", "emoji"}
_IGNORED_VALUES = {"color", "verbose", "exec-agent", "cwd"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line taken apart. ``values`` keeps every occurrence of a flag, in order."""

    words: tuple[str, ...] = ()
    switches: frozenset[str] = frozenset()
    values: tuple[tuple[str, str], ...] = field(default=())

    def value(self, name: str, default: str = "") -> str:
        """The last value of a flag."""
        return next((text for flag, text in reversed(self.values) if flag == name), default)

    def number(self, name: str, default: int) -> int:
        """The value of a flag as a whole number. Raises EngineError."""
        text = self.value(name)
        if not text:
            return default
        try:
            return int(text)
        except ValueError as error:
            raise EngineError(f"--{name} needs a whole number, not {text!r}") from error

    def has(self, name: str) -> bool:
        """Whether a switch is on."""
        return name in self.switches


def parse(
    verb: str, args: Sequence[str], *, switches: Collection[str] = (), values: Collection[str] = ()
) -> Arguments:
    """Take the arguments after a verb apart. Raises UnsupportedError for a flag not listed."""
    words: list[str] = []
    on: set[str] = set()
    given: list[tuple[str, str]] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words.extend(rest)
            break
        if not word.startswith("-"):
            words.append(word)
            continue
        name, equals, text = _LONG.get(word, word).lstrip("-").partition("=")
        if name in values or name in _IGNORED_VALUES:
            given.append((name, text if equals else _following(verb, name, rest)))
        elif name in switches or name in _IGNORED_SWITCHES:
            if not equals or text == "true":
                on.add(name)
        else:
            raise UnsupportedError(f"`pulumi {verb} --{name}`")
    return Arguments(tuple(words), frozenset(on), tuple(given))


_LONG = {"-s": "--stack", "-y": "--yes", "-f": "--skip-preview", "-m": "--message", "-j": "--json"}


def _following(verb: str, name: str, rest: list[str]) -> str:
    if not rest:
        raise EngineError(f"`pulumi {verb} --{name}` needs a value")
    return rest.pop(0)
