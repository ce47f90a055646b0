"""A dead worker's operations go on elsewhere, soon and once; one cut off ends itself."""

import signal
import time
from datetime import UTC, datetime

import psycopg

from models.operations import EventKind, OperationState
from service.worker.presence import LOST_EXIT
from tests.service.workers.fleet import Fleet, Process
from tests.service.workers.pipe import Pipe

WITHIN = 10.0
"""Seconds from a worker's death to the begin of the new run."""


def taken_over(fleet: Fleet, operations: list[str], died: datetime, by: str) -> list[float]:
    """Check that each operation ended once, on the other worker; return how long each waited."""
    fleet.settle()
    delays = []
    for operation_id in operations:
        operation = fleet.operation(operation_id)
        assert operation.state is OperationState.succeeded, fleet.story()
        assert (operation.worker, operation.run) == (by, 2), fleet.story()
        assert fleet.keys_in_aws(fleet.slug(operation)) == fleet.key_ids(operation)
        events = fleet.events(operation_id)
        freed = next(e.sequence for e in events if "is gone" in str(e.data.get("message")))
        begun = next(e for e in events if e.sequence > freed and e.kind is EventKind.step)
        delays.append(round((begun.at - died).total_seconds(), 1))
        assert [e.data["to"] for e in events if e.kind is EventKind.state][-1] == "succeeded"
    return delays


def under_way(fleet: Fleet, name: str, count: int) -> list[str]:
    """Wait until a worker has so many operations under way; return their ids."""
    fleet.until(lambda: len(fleet.running(name)) == count)
    return [row.id for row in fleet.running(name)]


def test_a_killed_workers_operations_are_taken_over_in_time(fleet: Fleet, unique: str) -> None:
    """RX-22: kill -9 with several operations under way."""
    first = fleet.worker("first")
    with fleet.frozen_aws():
        for number in range(4):
            fleet.open(f"{unique} {number}")
        operations = under_way(fleet, "first", 4)
        fleet.worker("second")
        first.signal(signal.SIGKILL)
        died = datetime.now(UTC)
    delays = taken_over(fleet, operations, died, "second")
    print(f"killed with {len(delays)} under way; new runs began after {delays} s")
    assert max(delays) < WITHIN


def test_a_worker_whose_session_is_ended_ends_itself(fleet: Fleet, unique: str) -> None:
    """RX-22: without its locks it may not go on; another one carries on."""
    first = fleet.worker("first")
    with fleet.frozen_aws():
        fleet.open(unique)
        operations = under_way(fleet, "first", 1)
        fleet.worker("second")
        with psycopg.connect(fleet.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks "
                "WHERE locktype = 'advisory' AND classid = 1214344805 AND pid IN "
                "(SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1214344806)"
            )
        assert ends_itself(first) < WITHIN
        died = datetime.now(UTC)
    delays = taken_over(fleet, operations, died, "second")
    print(f"session ended; new run began after {delays} s")
    assert max(delays) < WITHIN


def test_a_worker_cut_off_from_the_database_ends_itself(fleet: Fleet, unique: str) -> None:
    """RX-22: the network swallows all, nothing is closed: it must not work on beside another."""
    with Pipe(fleet.socket()) as pipe:
        first = fleet.worker("first", url=pipe.url(fleet.url))
        with fleet.frozen_aws():
            fleet.open(unique)
            operations = under_way(fleet, "first", 1)
            fleet.worker("second")
            pipe.swallow()
            cut = datetime.now(UTC)
            print(f"cut off; ended itself after {ends_itself(first):.1f} s")
        delays = taken_over(fleet, operations, cut, "second")
    print(f"new run began {delays} s after the cut")
    assert max(delays) < WITHIN


def test_a_frozen_worker_that_wakes_up_ends_itself(fleet: Fleet, unique: str) -> None:
    """RX-22: a paused machine; what it was doing goes on elsewhere meanwhile."""
    first = fleet.worker("first")
    with fleet.frozen_aws():
        fleet.open(unique)
        operations = under_way(fleet, "first", 1)
        fleet.worker("second")
        first.signal(signal.SIGSTOP)
        frozen = datetime.now(UTC)
    delays = taken_over(fleet, operations, frozen, "second")
    first.signal(signal.SIGCONT)
    print(f"new run began {delays} s after the freeze; woken, ended in {ends_itself(first):.1f} s")
    assert max(delays) < WITHIN
    assert fleet.keys_in_aws(unique) == fleet.key_ids(fleet.operation(operations[0]))


def ends_itself(process: Process) -> float:
    """Wait until a process has ended itself as one that is cut off; return the seconds."""
    begun = time.monotonic()
    assert process.ended(WITHIN) == LOST_EXIT
    assert "ends itself" in process.log()
    return time.monotonic() - begun


def test_a_name_is_one_workers(fleet: Fleet) -> None:
    """The second one is refused in a sentence that says what to do, and harms nobody."""
    first = fleet.worker("same")
    second = fleet.start("worker", "--name", "same", wait=False)
    assert second.ended() == 1
    assert "A worker named same runs already" in second.log()
    assert "HANDOVER_WORKER_NAME" in second.log()
    assert "Traceback" not in second.log()
    assert first.popen.poll() is None
