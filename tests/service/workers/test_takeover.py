"""A dead worker's operations go on elsewhere, soon and once; one cut off ends itself."""

import signal
import threading
from datetime import datetime

import psycopg

from engine.localaws import LocalAws
from models.operations import EventKind, OperationState
from service.worker.presence import LOST_EXIT
from stacks.client import TAG_CLIENT
from tests.faults.calls import Call
from tests.faults.faults import Tell
from tests.faults.proxy import FaultProxy
from tests.localaws import client_of
from tests.service.unhurried import TAKEN_OVER_AS_PROMISED
from tests.service.workers.fleet import Fleet, Process
from tests.service.workers.pipe import Pipe
from tests.waiting import PATIENCE, Standstill

WITHIN = 10.0
"""Seconds from a worker's last sign of life to the begin of the new run."""


def taken_over(
    fleet: Fleet, operations: list[str], by: str
) -> dict[str, tuple[datetime, datetime]]:
    """Check that each operation ended once, on the other worker.

    Return when each was freed and when its new run began, by the other worker's own time stamps.
    """
    fleet.settle()
    found = {}
    for operation_id in operations:
        operation = fleet.operation(operation_id)
        assert operation.state is OperationState.succeeded, fleet.story()
        assert (operation.worker, operation.run) == (by, 2), fleet.story()
        assert fleet.keys_in_aws(fleet.slug(operation)) == fleet.key_ids(operation)
        events = fleet.events(operation_id)
        freed = next(e for e in events if "is gone" in str(e.data.get("message")))
        later = [e for e in events if e.sequence > freed.sequence]
        begun = next(e for e in later if e.kind is EventKind.step)
        found[operation_id] = (freed.at, begun.at)
        assert [e.data["to"] for e in events if e.kind is EventKind.state][-1] == "succeeded"
    return found


def under_way(fleet: Fleet, name: str, count: int) -> list[str]:
    """Wait until a worker has so many operations under way; return their ids."""
    fleet.until(lambda: len(fleet.running(name)) == count)
    return [row.id for row in fleet.running(name)]


def last_sign_of_life(fleet: Fleet, name: str) -> datetime:
    """When a worker last said that it lives, by the database's clock."""
    row = fleet.row(name)
    assert row is not None
    return row.seen_at


def test_a_killed_workers_operations_are_taken_over_in_time(fleet: Fleet, unique: str) -> None:
    """RX-22: kill -9 with several operations under way; by the limits of production."""
    first = fleet.worker("first")
    with fleet.frozen_aws():
        for number in range(4):
            fleet.open(f"{unique} {number}")
        operations = under_way(fleet, "first", 4)
        fleet.worker("second", changes=TAKEN_OVER_AS_PROMISED)
        first.signal(signal.SIGKILL)
    with Standstill() as standstill:
        begun = [begun for _, begun in taken_over(fleet, operations, "second").values()]
    died = last_sign_of_life(fleet, "first")
    delays = [round((moment - died).total_seconds(), 1) for moment in begun]
    print(f"new runs began after {delays} s; at a standstill for {standstill.seconds:.1f} s")
    assert max(delays) - standstill.seconds < WITHIN


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
        ended = ended_itself(first)
    [(freed, _)] = taken_over(fleet, operations, "second").values()
    assert ended < freed


def test_a_worker_cut_off_from_the_database_ends_itself(fleet: Fleet, unique: str) -> None:
    """RX-22: the network swallows all, nothing is closed: it must not work on beside another."""
    with Pipe(fleet.socket()) as pipe:
        first = fleet.worker("first", url=pipe.url(fleet.url))
        with fleet.frozen_aws():
            fleet.open(unique)
            operations = under_way(fleet, "first", 1)
            fleet.worker("second")
            pipe.swallow()
            ended = ended_itself(first)
        [(freed, _)] = taken_over(fleet, operations, "second").values()
    print(f"ended itself {(freed - ended).total_seconds():.1f} s before others began")
    assert ended < freed


def test_a_frozen_worker_that_wakes_up_ends_itself(fleet: Fleet, unique: str) -> None:
    """RX-22: a paused machine; what it was doing goes on elsewhere meanwhile."""
    first = fleet.worker("first")
    with fleet.frozen_aws():
        fleet.open(unique)
        operations = under_way(fleet, "first", 1)
        fleet.worker("second")
        first.signal(signal.SIGSTOP)
    taken_over(fleet, operations, "second")
    first.signal(signal.SIGCONT)
    ended_itself(first)
    assert fleet.keys_in_aws(unique) == fleet.key_ids(fleet.operation(operations[0]))


def test_a_worker_that_was_frozen_in_a_recovery_deletes_no_key_of_its_successor(
    fleet: Fleet, unique: str, local_aws: LocalAws
) -> None:
    """RX-22: it woke with a decision of long ago, and asks before it acts upon it."""
    operation = fleet.open(unique)
    tag = {"Key": TAG_CLIENT, "Value": fleet.client(unique).id}
    client_of(local_aws, "iam").create_user(UserName=unique, Tags=[tag])
    frozen = threading.Event()
    with FaultProxy(local_aws) as proxy:

        def freeze(call: Call) -> None:
            # Recovery has just been told that a half-made user of ours is there.
            if call.user == unique and not frozen.is_set():
                first.signal(signal.SIGSTOP)
                frozen.set()

        proxy.inject("GetUser", Tell(freeze, after=True))
        module = "tests.service.workers.late_to_notice"
        first = fleet.worker("first", module=module, changes=proxy.environment())
        assert frozen.wait(PATIENCE), fleet.story()
        fleet.worker("second")
        fleet.settle()
        made = fleet.key_ids(fleet.operation(operation))
        assert fleet.keys_in_aws(unique) == made
        first.signal(signal.SIGCONT)
        assert first.ended() == LOST_EXIT, first.log()
    assert fleet.keys_in_aws(unique) == made
    assert len(made) == 1


def ended_itself(process: Process) -> datetime:
    """Wait until a process has ended itself as one that is cut off; return when, as it wrote."""
    assert process.ended() == LOST_EXIT, process.log()
    [last] = [line for line in process.log().splitlines() if "ends itself" in line]
    return datetime.fromisoformat(last[: len("2026-01-15 10:00:00,000")]).astimezone()


def test_a_name_is_one_workers(fleet: Fleet) -> None:
    """The second one is refused in a sentence that says what to do, and harms nobody."""
    first = fleet.worker("same")
    second = fleet.start("worker", "--name", "same", wait=False)
    assert second.ended() == 1
    assert "A worker named same runs already" in second.log()
    assert "HANDOVER_WORKER_NAME" in second.log()
    assert "Traceback" not in second.log()
    assert first.popen.poll() is None
