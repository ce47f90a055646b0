"""A service with a worker; its own courier looks once and then leaves the work to the tests'."""

import pytest

from service.delivery import courier
from tests.service.worker.conftest import runtime

__all__ = ["quiet_courier", "runtime"]


@pytest.fixture(autouse=True)
def quiet_courier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the service's own courier sleep, so that a message is sent by the one under test."""
    monkeypatch.setattr(courier, "PAUSE_SECONDS", 3600.0)
