"""Plugins that every house's tests share, and the rule that nothing is skipped silently."""

import os
import shutil
from collections.abc import Generator

import pytest
from hypothesis import settings

NO_OFFICIAL_PROGRAM = "needs the official pulumi program on PATH"

pytest_plugins = ["tests.localaws", "tests.postgres"]
"""Fixtures of the local AWS (one real ministack with IAM for each test process) and PostgreSQL."""


# The same examples on each run, however long a busy machine takes for one; fresh ones with SEED.
settings.register_profile("steady", deadline=None, derandomize="SEED" not in os.environ)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that compare with the official program where it is, and only there."""
    for item in items:
        if item.get_closest_marker("official") and shutil.which("pulumi") is None:
            item.add_marker(pytest.mark.skip(reason=NO_OFFICIAL_PROGRAM))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip for any other reason into a failure: a test that can't run proves nothing."""
    report = yield
    permitted = NO_OFFICIAL_PROGRAM in str(report.longrepr)
    if report.skipped and not permitted and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: only the official program may be missing."
    return report
