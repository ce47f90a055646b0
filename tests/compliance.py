"""Which test shows which requirement: read from the tests' own docstrings.

``python -m tests.compliance`` writes the column of tests in ``docs/compliance.md`` anew;
``tests/test_compliance.py`` fails when the document is not what the tests say.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "compliance.md"

KNOWN = frozenset(
    [f"SP-{n:02d}" for n in range(1, 31)]
    + [f"RX-{n:02d}" for n in range(1, 54)]
    + [f"PB-{n:02d}" for n in range(1, 32)]
)
"""Ids of all requirements of the three source documents."""

_RANGE = re.compile(r"\b(SP|RX|PB)-(\d{2}) to (?:\1-)?(\d{2})\b")
_ID = re.compile(r"\b(?:SP|RX|PB)-\d{2}\b")
_ROW = re.compile(r"^\| (?P<id>(?:SP|RX|PB)-\d{2}) \| (?P<what>[^|]*) \| (?P<tests>[^|]*) \|$")


def cited_in(text: str) -> set[str]:
    """Return the requirement ids that a text names, ranges such as "SP-23 to SP-25" included."""
    found = set(_ID.findall(text))
    for house, first, last in _RANGE.findall(text):
        found |= {f"{house}-{number:02d}" for number in range(int(first), int(last) + 1)}
    return found


def citations() -> Mapping[str, list[str]]:
    """Return, for each id, the tests whose docstring or name cites it."""
    citing: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, text in _tests_of(file):
            for requirement in cited_in(text):
                citing[requirement].append(f"{file.relative_to(ROOT)}::{name}")
    return citing


def _tests_of(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            yield node.name, ast.get_docstring(node) or ""


def written() -> str:
    """Return the document as it should be: each row with the tests that cite its id."""
    citing = citations()
    lines = []
    for line in DOCUMENT.read_text().splitlines():
        if row := _ROW.match(line):
            tests = "<br>".join(f"`{test}`" for test in citing.get(row["id"], []))
            lines.append(f"| {row['id']} | {row['what']} | {tests} |")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def rows() -> dict[str, str]:
    """Return the document's rows: requirement id → tests as written."""
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        if row := _ROW.match(line):
            found[row["id"]] = row["tests"]
    return found


if __name__ == "__main__":
    DOCUMENT.write_text(written())
