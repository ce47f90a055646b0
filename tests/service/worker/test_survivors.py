"""A stack that is held: its operation waits, AWS is not blamed, and it goes on by itself."""

import pytest

from engine.survivors import held
from models.operations import OperationState
from service.assembly import Runtime
from stacks import automation
from stacks.client import ClientProgram
from tests.service.worker.test_aws_away import waits
from tests.service.worker.test_worker import ended, wish


def test_an_opening_waits_for_what_a_killed_engine_left_running(
    runtime: Runtime, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "_SURVIVORS_SECONDS", 0.1)
    areas = runtime.services.areas
    folder = areas.stacks.backend.work_directory / ClientProgram.project_name
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / f"{unique}.running"):
        operation_id = wish(runtime, unique)
        waiting = waits(runtime, operation_id)
    assert waiting.state is OperationState.running
    assert waiting.waiting_for is not None
    assert waiting.waiting_for.startswith("what a killed update had begun still runs")
    operation, _ = ended(runtime, operation_id)
    assert operation.state is OperationState.succeeded
    assert operation.waiting_for is None
