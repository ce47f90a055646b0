"""A new version beside the old one: nothing is stranded, nothing runs twice; urgent work first."""

import signal
import time

from models.operations import EventKind, OperationState
from tests.service.workers.fleet import Fleet

FEW = {"HANDOVER_PARALLEL_OPERATIONS": "2"}
NEXT_VERSION = "tests.service.workers.next_version"


def test_a_new_version_takes_over_from_one_that_drains(fleet: Fleet, unique: str) -> None:
    """Both versions work side by side, then the old one is told to stop in the middle."""
    old = fleet.worker("old", changes=FEW)
    operations = [fleet.open(f"{unique} {number}") for number in range(8)]
    fleet.until(lambda: len(fleet.running("old")) == 2)
    fleet.worker("new", module=NEXT_VERSION, changes=FEW)
    operations += [fleet.open(f"{unique} late {number}") for number in range(8)]
    old.signal(signal.SIGTERM)
    asked = time.monotonic()
    fleet.until(lambda: (row := fleet.row("old")) and row.draining)
    assert old.ended() == 0
    print(f"the old version drained in {time.monotonic() - asked:.1f} s")
    row = fleet.row("old")
    assert row is not None
    assert row.stopped_at is not None
    assert fleet.running("old") == [], "it has handed on all that it did not end"
    fleet.settle()
    for operation_id in operations:
        operation = fleet.operation(operation_id)
        assert operation.state is OperationState.succeeded, fleet.story()
        assert operation.attempts == 1, "nothing ran twice"
        assert fleet.keys_in_aws(fleet.slug(operation)) == fleet.key_ids(operation)
        steps = [e.data["step"] for e in fleet.events(operation_id) if e.kind is EventKind.step]
        assert steps == ["make", "prove"]
    assert {fleet.operation(row_id).worker for row_id in operations} == {"old", "new"}


def test_what_another_version_left_under_way_begins_anew(fleet: Fleet, unique: str) -> None:
    """Killed, and started again under its name as the next version: the durable engine would
    never recover what it began as the old one."""
    first = fleet.worker("same")
    with fleet.frozen_aws():
        operation_id = fleet.open(unique)
        fleet.until(lambda: fleet.running("same"))
        first.signal(signal.SIGKILL)
    fleet.worker("same", module=NEXT_VERSION)
    fleet.settle()
    operation = fleet.operation(operation_id)
    assert (operation.state, operation.run) == (OperationState.succeeded, 2), fleet.story()
    assert fleet.keys_in_aws(fleet.slug(operation)) == fleet.key_ids(operation)


def test_a_closing_overtakes_bulk_opening(fleet: Fleet, unique: str) -> None:
    """Urgent work finds room though every slot is taken by what waits for a frozen AWS."""
    worker = fleet.worker("one", changes={"HANDOVER_PARALLEL_OPERATIONS": "1"})
    fleet.open(f"{unique} closing")
    fleet.settle()
    slug = fleet.client(f"{unique}-closing").slug
    bulk = [fleet.open(f"{unique} bulk {number}") for number in range(12)]
    closing = fleet.close(slug)
    fleet.settle()
    assert fleet.operation(closing).state is OperationState.succeeded
    closed_at = fleet.operation(closing).finished_at
    assert closed_at is not None
    later = [o for o in bulk if (end := fleet.operation(o).finished_at) and end > closed_at]
    print(f"the closing ended before {len(later)} of {len(bulk)} openings asked for earlier")
    assert len(later) >= len(bulk) // 2
    assert worker.popen.poll() is None
