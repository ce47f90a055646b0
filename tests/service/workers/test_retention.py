"""What is kept no longer than it is of use."""

from datetime import timedelta

from sqlmodel import select

from models.base import utc_now
from models.database import transaction
from models.idempotency import IdempotencyKey
from models.workers import WorkerRow
from service.assembly import Runtime
from service.worker.durable import KEEP
from service.worker.retention import KEEP_KEYS, KEEP_WORKERS, Retention, forget_keys, forget_workers
from tests.service.worker.conftest import runtime
from tests.service.worker.test_worker import ended, wish
from tests.waiting import until

__all__ = ["runtime"]


def test_old_idempotency_keys_are_forgotten(runtime: Runtime, unique: str) -> None:
    database = runtime.services.database
    operation, client = ended(runtime, wish(runtime, unique))
    with transaction(database) as session:
        for name, age in (("old", KEEP_KEYS + timedelta(hours=1)), ("young", timedelta(days=2))):
            session.add(
                IdempotencyKey(
                    actor_id=client.owner_actor_id,
                    key=name,
                    body_sha256="0" * 64,
                    operation_id=operation.id,
                    created_at=utc_now() - age,
                )
            )
    assert forget_keys(database) == 1
    with transaction(database, write=False) as session:
        assert [row.key for row in session.exec(select(IdempotencyKey))] == ["young"]


def test_workers_long_gone_are_forgotten_unless_they_have_work(
    runtime: Runtime, unique: str
) -> None:
    database = runtime.services.database
    long_ago = utc_now() - KEEP_WORKERS - timedelta(hours=1)
    with transaction(database) as session:
        for name in ("gone", "claimant"):
            row = WorkerRow(name=name, version="1", host="h", process_id=1, seen_at=long_ago)
            session.add(row)
    operation_id = wish(runtime, unique, worker="claimant")
    with transaction(database, write=False) as session:
        assert session.get(WorkerRow, "claimant") is not None
    # The living worker of this service frees and ends what the dead one had claimed.
    assert ended(runtime, operation_id)[0].run == 2
    assert forget_workers(database) == 2
    with transaction(database, write=False) as session:
        names = {row.name for row in session.exec(select(WorkerRow))}
    assert not names & {"gone", "claimant"}


def test_the_durable_engines_old_notes_are_pruned(runtime: Runtime, unique: str) -> None:
    """Its file must not grow for ever."""
    ended(runtime, wish(runtime, unique))
    assert runtime.worker is not None
    durable = runtime.worker._durable
    assert durable.prune() == 0, "young ones stay"
    # The engine notes the end of a workflow a moment after its operation has ended.
    assert until(lambda: durable.prune(keep=-KEEP)) == 1
    assert durable.prune(keep=-KEEP) == 0


def test_tidying_is_done_now_and_then(runtime: Runtime) -> None:
    batches = iter([1, 1, 0])
    retention = Retention(runtime.services.database, lambda: next(batches))
    retention.tidy()
    retention._due = 0.0
    for _ in range(3):
        retention.tidy()
    assert next(batches, None) is None, "one batch after the other until nothing is left"
    retention.tidy()
