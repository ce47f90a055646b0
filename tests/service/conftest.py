"""Patience for the workers that tests of the service run within their own process."""

import pytest

from tests.service.unhurried import unhurried


@pytest.fixture(scope="session", autouse=True)
def _unhurried() -> None:
    """A worker that ends itself would take the test's process with it."""
    unhurried()
