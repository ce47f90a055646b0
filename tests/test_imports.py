"""Directions of imports that the import linter has no contract for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSES = ("service", "stacks", "engine", "models", "pdf")


def importers_of(module: str) -> set[str]:
    """Return the files of the houses that import a module, in whichever way."""
    found = set()
    for house in HOUSES:
        for file in (ROOT / house).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if _imports(node, module):
                    found.add(str(file.relative_to(ROOT)))
    return found


def _imports(node: ast.AST, module: str) -> bool:
    if isinstance(node, ast.Import):
        return any(f"{alias.name}.".startswith(f"{module}.") for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module:
        names = [f"{node.module}.{alias.name}." for alias in node.names]
        return any(name.startswith(f"{module}.") for name in [f"{node.module}.", *names])
    return False


@pytest.mark.parametrize(
    ("module", "permitted"),
    [
        (
            "pulumi.automation",
            {"stacks/automation.py", "engine/command.py", "engine/official.py"},
        ),
        ("dbos", {"service/worker/durable.py"}),
        ("fpdf", None),
    ],
)
def test_what_is_known_in_one_place_stays_there(module: str, permitted: set[str] | None) -> None:
    """One module alone knows the durable engine; three know the Automation API."""
    importers = importers_of(module)
    if permitted is None:
        assert {file.split("/")[0] for file in importers} == {"pdf"}
    else:
        assert importers <= permitted
        assert importers
