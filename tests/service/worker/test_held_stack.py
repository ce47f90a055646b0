"""Somebody else's update holds a client's stack: the operation waits, and says for whom."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from engine.localaws import LocalAws
from models.operations import Operation, OperationState
from service.cli.engine import run_embedded
from stacks.client import CLIENTS_PROJECT
from tests.service.house import House, house
from tests.service.test_doors import check, keys_in_aws, operations, wait_for
from tests.service.worker.test_full_disk import time_is_up

ELSEWHERE = "another-machine"


def hold(home: House, slug: str) -> Path:
    """Write the lock of an update on another machine, as either engine leaves it when it dies."""
    state = Path(home.services.settings.state_url.removeprefix("file://"))
    folder = state / ".pulumi" / "locks" / "organization" / CLIENTS_PROJECT / slug
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "4d3b9f1c-0000-4000-8000-000000000000.json"
    owner = {
        "pid": 12,
        "username": "worker",
        "hostname": ELSEWHERE,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    lock.write_text(json.dumps(owner))
    return lock


def waiting(home: House, slug: str) -> str:
    """What the client's unfinished operation waits for."""
    [operation] = [each for each in operations(home, slug) if each.finished_at is None]
    return operation.waiting_for or ""


def last(home: House, slug: str) -> Operation:
    """The client's newest operation."""
    return max(operations(home, slug), key=lambda operation: operation.created_at)


def test_an_operation_waits_for_the_lock_of_another_machine(
    tmp_path: Path, local_aws: LocalAws, unique: str
) -> None:
    with house(tmp_path / "data", local_aws) as home:
        lock = hold(home, unique)
        assert home.ask_open(unique).status_code == 202
        wait_for(home, unique, f"worker@{ELSEWHERE} (process 12)")
        time.sleep(1)
        assert keys_in_aws(home, unique) == []
        assert lock.exists(), "it is never taken away by the service"
        assert check(home, "aws_identity")["ok"], "AWS is not to blame"
        lock.unlink()
        home.settle()
        assert last(home, unique).state is OperationState.succeeded, last(home, unique)
        assert last(home, unique).attempts == 1

        lock = hold(home, unique)
        assert home.ask_close(unique).status_code == 202
        wait_for(home, unique, ELSEWHERE)
        for key in home.iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]:
            assert key["Status"] == "Inactive", "access is cut whoever holds the stack"
        # The command that it names is the one that helps.
        words = waiting(home, unique).partition("handover engine run -- ")[2].split()
        variables = home.services.areas.stacks.backend.variables()
        assert run_embedded(words, variables, quiet=True).status == 0
        assert not lock.exists()
        home.settle()
        assert home.client(unique).state == "closed"


def test_what_the_holder_makes_is_not_taken_for_half_made(
    tmp_path: Path, local_aws: LocalAws, unique: str
) -> None:
    """Recovery deletes what no state knows: not while somebody is at work on that state."""
    with house(tmp_path / "data", local_aws) as home:
        home.open(unique)
        lock = hold(home, unique)
        made = home.iam.create_access_key(UserName=unique)["AccessKey"]["AccessKeyId"]
        answer = home.api.post(f"/v1/clients/{unique}/refresh", params={"repair": True})
        assert answer.status_code == 202, answer.text
        wait_for(home, unique, ELSEWHERE)
        time.sleep(1)
        assert made in keys_in_aws(home, unique)
        lock.unlink()
        home.settle()
        assert keys_in_aws(home, unique) == [home.keys(unique)[0].access_key_id]
        home.close(unique)


def test_the_deadline_ends_the_wait(tmp_path: Path, local_aws: LocalAws, unique: str) -> None:
    with house(tmp_path / "data", local_aws) as home:
        lock = hold(home, unique)
        assert home.ask_open(unique).status_code == 202
        wait_for(home, unique, ELSEWHERE)
        # The rollback, too, waits for the stack, and no longer than an operation may take.
        home.services.settings.operation_deadline_seconds = 2
        time_is_up(home, last(home, unique))
        home.settle()
        operation = last(home, unique)
        assert operation.failure_code == "DeadlineExceeded"
        assert ELSEWHERE in (operation.failure_detail or "")
        lock.unlink()
