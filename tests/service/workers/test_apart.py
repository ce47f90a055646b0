"""Never two operations of one client at once, whatever happens: by seeded chance, under force."""

import itertools
import json
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

from models.clients import ClientState
from models.database import transaction
from models.operations import UNFINISHED, Operation
from models.workers import live_workers
from tests.localaws import client_of
from tests.seeds import first_seed
from tests.service.workers.fleet import REASON, Fleet

SECONDS = 12.0
CLIENTS, CALLERS = 3, 4
RECORDED = "tests.service.workers.recorded"
FEW = {"HANDOVER_PARALLEL_OPERATIONS": "4"}


class Caller(threading.Thread):
    """Opens, closes, reopens, cancels and retries by chance, and cares for no answer."""

    def __init__(self, fleet: Fleet, slugs: dict[str, str], chance: random.Random) -> None:
        super().__init__()
        self._fleet, self._slugs, self._chance = fleet, slugs, chance
        self.until = time.monotonic() + SECONDS
        self.answers: list[int] = []

    def run(self) -> None:
        """Go on until time is up."""
        while time.monotonic() < self.until:
            slug = self._chance.choice(list(self._slugs))
            act = self._chance.choice([self._open, self._close, self._reopen, self._change])
            self.answers.append(act(slug))
            time.sleep(self._chance.uniform(0, 0.2))

    def _open(self, slug: str) -> int:
        return self._fleet.ask_open(self._slugs[slug]).status_code

    def _close(self, slug: str) -> int:
        return self._fleet.api.delete(f"/v1/clients/{slug}", params=REASON).status_code

    def _reopen(self, slug: str) -> int:
        return self._fleet.api.post(f"/v1/clients/{slug}/reopen", json={}).status_code

    def _change(self, slug: str) -> int:
        listed = self._fleet.api.get("/v1/operations", params={"client": slug}).json()["items"]
        if not listed:
            return 404
        address = f"/v1/operations/{listed[0]['id']}"
        verb = self._chance.choice(["cancel", "retry"])
        body = {"reason": "of the test"}
        return self._fleet.api.post(f"{address}/{verb}", json=body).status_code


def test_no_client_is_worked_on_twice_at_once(fleet: Fleet, unique: str, tmp_path: Path) -> None:
    """Across cancel, retry, priorities, a kill and a worker cut off from the database."""
    seed = first_seed()
    print(f"SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    record = tmp_path / "record"
    options = {"module": RECORDED, "changes": {**FEW, "RECORD_FILE": str(record)}}
    workers = [fleet.worker(name, **options) for name in ("one", "two")]
    slugs = {f"{unique}-{number}": f"{unique} {number}" for number in range(CLIENTS)}
    chances = [random.Random(chance.random()) for _ in range(CALLERS)]  # noqa: S311
    callers = [Caller(fleet, slugs, chance) for chance in chances]
    for caller in callers:
        caller.start()
    time.sleep(SECONDS * chance.uniform(0.2, 0.6))
    workers[0].signal(chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP]))
    for caller in callers:
        caller.join()
    # Frozen in the middle of an update it holds its stack: what waits for that ends when it wakes.
    fleet.until(lambda: all(waits_for_a_stack(o) for o in fleet.unfinished()))
    woken = time.monotonic()
    if workers[0].popen.poll() is None:
        # Frozen and woken: with work under way it ends itself, without it comes back.
        workers[0].signal(signal.SIGCONT)
        fleet.until(lambda: workers[0].popen.poll() is not None or alive(fleet, "one"))
    fleet.settle()
    calls = [call for call in intervals(record) if call.get("end", 0.0) < woken]
    print(f"{len(calls)} calls on {CLIENTS} clients, answers {sorted(set(all_of(callers)))}")
    assert len(calls) > CLIENTS
    assert overlaps(calls) == []
    for slug in slugs:
        holds_together(fleet, slug)


def waits_for_a_stack(operation: Operation) -> bool:
    """Tell whether an operation stands still because another process holds its client's stack."""
    return "is held by an update" in (operation.waiting_for or "")


def alive(fleet: Fleet, name: str) -> bool:
    """Tell whether a worker gives signs of life."""
    with transaction(fleet.database, write=False) as session:
        return name in {row.name for row in live_workers(session)}


def all_of(callers: list[Caller]) -> list[int]:
    return [answer for caller in callers for answer in caller.answers]


def intervals(record: Path) -> list[dict[str, Any]]:
    """Return the calls in order of their begin; one that a kill cut off has no end."""
    calls: dict[str, dict[str, Any]] = {}
    for line in record.read_text().splitlines():
        said = json.loads(line)
        calls.setdefault(said["token"], said)[said["what"]] = said["at"]
    return sorted(calls.values(), key=lambda call: float(call["begin"]))


def overlaps(calls: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """Return the pairs of calls of two processes on one client at the same time."""
    found = []
    for slug in {call["slug"] for call in calls}:
        mine = [call for call in calls if call["slug"] == slug]
        for first, second in itertools.combinations(mine, 2):
            if "end" in first and second["begin"] < first["end"]:
                found.append((first, second))
    return found


def holds_together(fleet: Fleet, slug: str) -> None:
    """Check that AWS and the records agree on a client, and that nothing is unfinished."""
    client = fleet.client(slug)
    last = [o for o in fleet.operations() if o.client_id == client.id][-1]
    assert last.state not in UNFINISHED
    users = {user["UserName"] for user in client_of(fleet.aws, "iam").list_users()["Users"]}
    if client.state is ClientState.open:
        assert fleet.keys_in_aws(slug) == fleet.key_ids(last)
    elif client.state is ClientState.closed:
        assert slug not in users
