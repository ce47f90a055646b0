"""Every step is safe to die in: seeded faults of all kinds, and a kill at each point they missed.

`make chaos` runs a thousand and more.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col, select

from models.access_keys import AccessKey
from models.database import transaction
from service.assembly import running
from service.local import local_settings
from service.reconcile.findings import Finding, FindingKind
from service.reconcile.survey import survey
from tests.chaos.campaign import campaign, explore_all, hit_the_rest, of_seeds, tally_of, write
from tests.chaos.world import World, world
from tests.seeds import first_seed

SEEDS = 30
REPORT = Path(__file__).resolve().parents[2] / "bench" / "out" / "chaos-tests.json"
"""Hits per point, as a test that passes prints nothing."""

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def worlds(tmp_path: Path, postgres_url: str) -> Iterator[list[World]]:
    """One on SQLite, one on PostgreSQL, side by side: processes wait for half of their lives."""
    with world(tmp_path / "sqlite") as first, world(tmp_path / "other", postgres_url) as second:
        yield [first, second]


def test_every_operation_survives_every_fault_at_every_point(worlds: list[World]) -> None:
    """It ends by itself, once, and AWS and records agree; a point that was never hit fails.

    Seeded runs first, half of them on each database, then a kill at each point that is left.
    """
    seed = first_seed()
    print(f"seed {seed}: a failing one alone: make chaos ONLY=SEED")
    catalogues = explore_all(worlds[0])
    tally = tally_of(catalogues)
    seeds = range(seed, seed + SEEDS)
    campaign([(it, of_seeds(it, catalogues, seeds)) for it in worlds], tally)
    assert tally.runs == SEEDS
    hit_the_rest(worlds, tally)
    print(tally.table())
    write(tally, seed, REPORT)
    assert tally.failures == []
    assert tally.never_hit == []
    assert [disagreements(it) for it in worlds] == [[], []]


def disagreements(place: World) -> list[Finding]:
    """What the service's own reconciliation finds: it and the runs' invariants check each other.

    But for keys that AWS would not turn off: the clock tries again.
    """
    changes = {"database_url": place.database_url}
    settings = local_settings(place.folder).model_copy(update=changes)
    with running(settings, place.environment, worker=False) as runtime:
        found = list(survey(runtime.services))
    with transaction(place.database, write=False) as session:
        late = select(AccessKey.access_key_id).where(
            col(AccessKey.failed_tries) > 0, col(AccessKey.turn_off_at).is_not(None)
        )
        expected = {(FindingKind.key_not_off, key_id) for key_id in session.exec(late)}
    return [it for it in found if (it.kind, it.subject) not in expected]
