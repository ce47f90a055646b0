"""A service with a real worker, on a folder of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from service.assembly import Runtime, build_areas, build_foundation, running
from service.local import prepare


@pytest.fixture
def runtime(tmp_path: Path, local_aws: LocalAws) -> Iterator[Runtime]:
    """The service's parts with a real worker, on a folder of its own."""
    settings = prepare(tmp_path / "data")
    areas = build_areas(settings, local_aws.environment())
    if not areas.readiness().foundation:
        build_foundation(settings, areas).up()
    with running(settings, local_aws.environment()) as parts:
        yield parts
