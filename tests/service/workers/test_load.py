"""A small load as `make load` runs it: each client exactly once, and nothing left."""

import pytest

from bench.load import run
from tests.service.workers.fleet import UNHURRIED

CLIENTS, CALLERS = 30, 10


@pytest.mark.parametrize("shape", ["apart", "sqlite"])
def test_each_client_is_made_once_and_nothing_is_left(shape: str) -> None:
    """Repetitions and contradictions mixed in; on PostgreSQL with a worker apart, and on SQLite."""
    found = run(shape, CLIENTS, CALLERS, parallel=4, seed=20261122, module=UNHURRIED)
    print({name: found[name] for name in ("open", "close", "memory_mb")})
    assert found["broken"] == []
    for phase in ("open", "close"):
        assert found[phase]["accepted"] == CLIENTS
        assert found[phase]["ended"] == {"succeeded": CLIENTS}
    answers = set(found["open"]["answers"])
    assert {"409 slug-taken", "422 idempotency-key-reused"} <= answers
    assert {"200 replayed", "202 replayed"} & answers
