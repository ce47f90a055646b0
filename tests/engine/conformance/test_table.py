"""The table in ``docs/engines.md`` is that of the suite as it is now."""

from __future__ import annotations

from tests.engine.conformance.table import (
    DOCUMENT,
    features,
    recorded_official,
    replaced,
    rows,
)


def test_the_table_is_current() -> None:
    """Run ``python -m tests.engine.conformance.table`` after a change of the suite."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert replaced(document, "\n".join(rows({}, recorded_official(document)))) == document


def test_every_feature_is_named() -> None:
    """Each test of the suite says in its first line what it proves, and no two say the same."""
    assert all(features().values())
    assert len(set(features().values())) == len(features())
