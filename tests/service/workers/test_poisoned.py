"""An operation that kills its worker ends by itself, and takes none of its neighbours along."""

import json
import signal
import time
from pathlib import Path

import pytest

from models.database import transaction
from models.operations import Operation, OperationState
from service.worker.beginning import SUSPECTED_AFTER
from service.worker.endings import GAVE_UP, TRIES
from tests.service.workers.fleet import Fleet, Process
from tests.waiting import PATIENCE

NEIGHBOURS = 3


class Deadly:
    """Workers that one client's area kills, and what they noted."""

    def __init__(self, fleet: Fleet, folder: Path, *, poison: str, waiter: str) -> None:
        self._fleet, self._notes, self._poisoned = fleet, folder / "notes", folder / "poisoned"
        self._notes.touch()
        self._poisoned.touch()
        self._changes = {
            "POISON": poison,
            "WAITER": waiter,
            "POISONED": str(self._poisoned),
            "NOTES": str(self._notes),
        }

    def worker(self, *, hold: int = 0) -> Process:
        """Start the worker, always the same one; it may die before it has said that it works."""
        changes = {**self._changes, "HOLD": str(hold)}
        module = "tests.service.workers.poisoned"
        return self._fleet.worker("one", module=module, changes=changes, wait=False)

    def let_go(self) -> None:
        """Let the one that waits go on."""
        self._poisoned.unlink()

    def notes(self) -> list[list[str]]:
        """Who was at work at each death, and who had to wait at each look."""
        return [json.loads(line) for line in self._notes.read_text().splitlines()]


@pytest.mark.timeout(600)
def test_who_works_beside_what_kills_is_not_given_up_with_it(
    fleet: Fleet, unique: str, tmp_path: Path
) -> None:
    """Real deaths: twice with all under way, then alone, until it is given up after five."""
    killer, waiter = f"{unique}-kills", f"{unique}-waits"
    names = [f"{unique}-{number}" for number in range(NEIGHBOURS)]
    neighbours = [fleet.open(name) for name in [*names, waiter]]
    poison = fleet.open(killer)
    deadly = Deadly(fleet, tmp_path, poison=killer, waiter=waiter)
    for death in range(TRIES):
        process = deadly.worker(hold=NEIGHBOURS if death < SUSPECTED_AFTER else 0)
        assert process.ended(2 * PATIENCE) == -signal.SIGKILL, fleet.story()
    last = deadly.worker()
    fleet.until(lambda: fleet.operation(poison).finished_at)
    assert (fleet.operation(poison).failure_code, fleet.operation(poison).deaths) == (GAVE_UP, 5)
    deadly.let_go()
    fleet.settle()

    assert last.popen.poll() is None
    for operation in map(fleet.operation, neighbours):
        assert operation.state is OperationState.succeeded, fleet.story()
        assert operation.deaths <= SUSPECTED_AFTER
        assert fleet.keys_in_aws(fleet.slug(operation)) == fleet.key_ids(operation)
    deaths = [note for note in deadly.notes() if killer in note]
    alone = [[killer]] * (TRIES - SUSPECTED_AFTER)
    assert deaths == [sorted([*names, killer])] * SUSPECTED_AFTER + alone


def test_a_death_counts_for_what_is_under_way_and_not_for_what_waits(
    fleet: Fleet, unique: str, tmp_path: Path
) -> None:
    """An operation that waits for its stack outlives any number of its workers."""
    operation = fleet.open(unique)
    with transaction(fleet.database) as session:
        # One more would be the last.
        session.get_one(Operation, operation).deaths = TRIES - 1
    deadly = Deadly(fleet, tmp_path, poison="", waiter=unique)
    process = deadly.worker()
    fleet.until(deadly.notes)
    kill_at_rest(fleet, process, operation)
    deadly.let_go()
    deadly.worker()
    fleet.settle()
    assert fleet.operation(operation).state is OperationState.succeeded, fleet.story()


def kill_at_rest(fleet: Fleet, process: Process, operation: str) -> None:
    """Kill a worker while nothing of the operation is under way in it."""

    def stopped_at_rest() -> bool:
        process.signal(signal.SIGSTOP)
        time.sleep(0.05)  # what it had sent to the database comes into force
        row = fleet.operation(operation)
        if row.under_way or not row.waiting_for:
            process.signal(signal.SIGCONT)
            return False
        return True

    fleet.until(stopped_at_rest)
    process.signal(signal.SIGKILL)
    process.ended()
