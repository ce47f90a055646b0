"""Claims: in turn, once, and freed when a worker is dead; on each kind of database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from models.base import utc_now
from models.database import create_engine_for, transaction, upgrade
from models.operations import Operation, OperationState, Priority
from models.workers import DEAD_AFTER, WorkerRow, live_workers
from service.worker.claims import Room, claim, claimed, free_the_dead, hand_back, renew
from service.worker.locks import Locks, locks_for
from service.worker.work import Ticket
from tests.models.factories import make_actor, make_client, make_operation
from tests.waiting import until


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A migrated database, once of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path') / 'handover.db'}"
    else:
        url = str(request.getfixturevalue("postgres_url"))
    upgrade(url)
    engine = create_engine_for(url)
    yield engine
    engine.dispose()


@pytest.fixture
def locks(database: Engine) -> Iterator[Locks]:
    """The locks of a living worker."""
    made = locks_for(database)
    made.open()
    yield made
    made.close()


def wishes(database: Engine, *priorities: Priority) -> list[str]:
    """Write pending operations of these priorities, oldest first; return their ids."""
    with transaction(database) as session:
        actor = make_actor(session)
        return [
            make_operation(session, make_client(session, actor), actor, priority=priority).id
            for priority in priorities
        ]


def test_urgent_work_goes_first_then_the_oldest(database: Engine) -> None:
    n, u = Priority.normal, Priority.urgent
    made = wishes(database, n, n, u, n, u)
    found = claim(database, "a", Room(normal=2, urgent=4))
    assert [c.ticket.operation_id for c in found] == [made[2], made[4], made[0], made[1]]
    assert [c.urgent for c in found] == [True, True, False, False]
    assert [c.ticket for c in claimed(database, "a")] == [c.ticket for c in found]


def test_only_urgent_work_fills_the_reserved_room(database: Engine) -> None:
    made = wishes(database, Priority.normal, Priority.urgent, Priority.urgent)
    found = claim(database, "a", Room(normal=0, urgent=1))
    assert [c.ticket.operation_id for c in found] == [made[1]]
    assert claim(database, "a", Room(normal=0, urgent=0)) == []


def test_many_workers_claim_each_operation_once(database: Engine) -> None:
    """FOR UPDATE SKIP LOCKED on PostgreSQL, one writer at a time on SQLite."""
    made = wishes(database, *[Priority.normal] * 60)

    def take(name: str) -> list[str]:
        mine: list[str] = []
        while found := claim(database, name, Room(normal=3, urgent=7)):
            mine += [c.ticket.operation_id for c in found]
        return mine

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(take, "abcdef"))
    assert sorted(row for share in shares for row in share) == sorted(made)


def test_what_waits_for_an_approval_is_claimed_by_nobody(database: Engine) -> None:
    [operation] = wishes(database, Priority.normal)
    with transaction(database) as session:
        session.get_one(Operation, operation).state = OperationState.awaiting_approval
    assert claim(database, "a", Room(9, 9)) == []


def worker_row(database: Engine, name: str, *, silent: float = 0, stopped: bool = False) -> None:
    """Write a worker that was last seen so many seconds ago."""
    now = utc_now()
    with transaction(database) as session:
        session.merge(
            WorkerRow(
                name=name,
                version="1",
                host="host",
                process_id=1,
                seen_at=now - timedelta(seconds=silent),
                stopped_at=now if stopped else None,
            )
        )


def test_a_dead_workers_operations_are_freed_with_their_next_run(
    database: Engine, locks: Locks
) -> None:
    """The old run is over with it, should the dead one wake up."""
    made = wishes(database, *[Priority.normal] * 3)
    worker_row(database, "dead")
    claim(database, "dead", Room(9, 9))
    assert free_the_dead(database, "me", locks) == 0, "it lives"
    worker_row(database, "dead", silent=DEAD_AFTER[database.dialect.name] + 1)
    assert free_the_dead(database, "me", locks) == 3
    found = claim(database, "me", Room(9, 9))
    assert [c.ticket for c in found] == [Ticket(row, 2) for row in made]
    assert renew(database, Ticket(made[0], 1)) is None, "the dead one's run is over"


def test_a_stopped_workers_operations_are_freed_at_once(database: Engine, locks: Locks) -> None:
    wishes(database, Priority.normal)
    worker_row(database, "gone", stopped=True)
    claim(database, "gone", Room(9, 9))
    assert free_the_dead(database, "me", locks) == 1


def test_a_frozen_worker_without_claims_lets_its_clients_go(postgres_url: str) -> None:
    """Frozen between the end of its operation and the end of its turn, it held the client."""
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    frozen, mine = locks_for(engine), locks_for(engine)
    frozen.open()
    mine.open()
    assert frozen.try_name("frozen")
    assert frozen.try_client("client")
    worker_row(engine, "frozen")
    free_the_dead(engine, "me", mine)
    assert not mine.try_client("client"), "it lives"
    worker_row(engine, "frozen", silent=DEAD_AFTER["postgresql"] + 1)
    free_the_dead(engine, "me", mine)
    until(lambda: mine.try_client("client"), "the frozen worker still has its turn")
    mine.close()
    engine.dispose()


def test_a_worker_never_frees_its_own(database: Engine, locks: Locks) -> None:
    wishes(database, Priority.normal)
    worker_row(database, "me", stopped=True)
    claim(database, "me", Room(9, 9))
    assert free_the_dead(database, "me", locks) == 0


def test_what_is_handed_back_counts_no_attempt(database: Engine) -> None:
    """A deployment is no death: else five of them would give up an operation that waits for AWS."""
    [operation] = wishes(database, Priority.normal)
    claim(database, "me", Room(9, 9))
    with transaction(database) as session:
        session.get_one(Operation, operation).attempts = 1
    assert hand_back(database, "me") == 1
    with transaction(database, write=False) as session:
        row = session.get_one(Operation, operation)
        assert (row.worker, row.run, row.attempts) == (None, 2, 0)


def test_only_who_was_seen_lately_lives(database: Engine) -> None:
    worker_row(database, "alive")
    worker_row(database, "silent", silent=DEAD_AFTER[database.dialect.name] + 1)
    worker_row(database, "stopped", stopped=True)
    with transaction(database, write=False) as session:
        assert [row.name for row in live_workers(session)] == ["alive"]
        assert len(session.exec(select(WorkerRow)).all()) == 3
