"""Writes the table of ``docs/engines.md`` from a run of the suite.

``python -m tests.engine.conformance.table`` runs it under both engines, as far as they are there.
Where the official program is not on PATH, what a former run said of it stays.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.engine.conformance.conftest import ROOT, official_version
from tests.engine.conformance.test_refused import PROGRAMS, VERBS

DOCUMENT = ROOT / "docs" / "engines.md"
FOLDER = Path(__file__).parent
MODULES = ("test_life_cycle", "test_options", "test_failures", "test_interchange")
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
PARTLY = {
    "test_parallel": "at most 16 at once",
    "test_typed_events": "detailed diffs name top-level properties only",
    "test_output_lines": "one line an act; no tree, no diff",
}
"""What a test does not show of its feature on the embedded engine."""
TRIED = ("test_the_official_program_knows", "test_the_official_program_takes")
"""Tests whose parameter is the feature: what only the official program has."""
YES, NO, UNTRIED = "yes", "no", "not tried"


def features() -> dict[str, str]:
    """Tests and the feature that each proves, in the order of the suite."""
    found: dict[str, str] = {}
    for module in MODULES:
        tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[node.name] = (ast.get_docstring(node) or "").splitlines()[0]
    return found


def refused() -> dict[str, str]:
    """What the embedded engine refuses by name: the test's parameter, and how it is told."""
    return {name: f"`pulumi {name}`" for name in VERBS} | {
        name: name if " " in name else f"`{name}`" for name in PROGRAMS
    }


def rows(embedded: Mapping[str, str], official: Mapping[str, str]) -> Iterator[str]:
    """The table's lines; results by the name of the test."""
    yield "| what | embedded | official |"
    yield "|---|---|---|"
    for test, feature in features().items():
        ours = embedded.get(test, YES)
        if ours == YES and test in PARTLY:
            ours = f"partly: {PARTLY[test]}"
        yield f"| {feature} | {ours} | {official.get(test, UNTRIED)} |"
    for name, what in refused().items():
        yield f"| {what} | no, refused by name | {official.get(name, UNTRIED)} |"


class Results:
    """A pytest plugin that keeps what each test said of each engine."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, str]] = {"embedded": {}, "official": {}}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of each test."""
        name, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
        engine = "official" if "official" in parameters else "embedded"
        if report.skipped or report.when != "call":
            return
        if name in TRIED:
            name = parameters.removesuffix("]").removesuffix("-official")
        known = self.of[engine].get(name, YES)
        self.of[engine][name] = known if report.passed and known == YES else NO


def recorded_official(document: str) -> dict[str, str]:
    """What the document says of the official program, by the name of the test."""
    cells = {
        match[1]: match[2] for match in re.finditer(r"^\| (.*) \| .* \| (.*) \|$", document, re.M)
    }
    named = {**features(), **refused()}
    return {name: cells[what] for name, what in named.items() if what in cells}


def replaced(document: str, table: str) -> str:
    """The document with another table."""
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Run the suite, write the table, and return the suite's status."""
    results = Results()
    status = pytest.main(["-q", "--tb=native", str(FOLDER)], plugins=[results])
    document = DOCUMENT.read_text(encoding="utf-8")
    official = {**recorded_official(document)}
    if official_version() is not None:
        tried = {**features(), **refused()}
        official = {name: results.of["official"].get(name, UNTRIED) for name in tried}
    table = "\n".join(rows(results.of["embedded"], official))
    DOCUMENT.write_text(replaced(document, table), encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
