"""Stopping and starting again: clean, with the children, and without losing anything."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.demo.process import Served, service_process
from tests.service.live.conftest import WAIT, NewClient, caller, end, root
from tests.waiting import PATIENCE


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def wait_for_end(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    return alive


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_children_go_with_the_service_and_the_folder_carries_on(
    sig: signal.Signals, tmp_path: Path, new_client: NewClient
) -> None:
    """RX-22: even a killed service leaves nothing running, and forgets nothing."""
    data, request = tmp_path / "data", new_client()
    with service_process(data) as served:
        with caller(served) as api:
            client = api.post("/v1/clients", json=request, headers=WAIT).json()
        family = [psutil.Process(served.pid), *children_of(served.pid)]
        assert len(family) > 1
        end(served.pid, sig)
        assert wait_for_end(family) == []
    with service_process(data) as served, caller(served) as api:
        again = api.get(f"/v1/clients/{client['slug']}").json()
        assert again == client
        assert api.post(f"/v1/clients/{client['slug']}/refresh").json()["in_step"]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1])
def test_an_operation_cut_off_by_a_kill_ends_after_the_restart(
    delay: float, tmp_path: Path, new_client: NewClient
) -> None:
    """A kill at any instant loses nothing: one user, one key, one record."""
    data, request = tmp_path / "data", new_client()
    with service_process(data) as served, caller(served) as api:
        operation = api.post("/v1/clients", json=request).json()
        time.sleep(delay)
        end(served.pid, signal.SIGKILL)
    with service_process(data) as served, caller(served) as api:
        ended = api.get(f"/v1/operations/{operation['id']}", headers=WAIT).json()
        assert ended["state"] == "succeeded", ended
        client = api.get(f"/v1/clients/{ended['client']}").json()
        keys = root(served, "iam").list_access_keys(UserName=client["slug"])["AccessKeyMetadata"]
        active = [key["key_id"] for key in client["keys"] if key["status"] == "active"]
        assert [key["AccessKeyId"] for key in keys] == active
        assert len(client["records"]) == 1


@pytest.mark.parametrize("moment", ["handover.db", "state/.pulumi/stacks", "admin.token"])
def test_a_start_cut_off_by_a_kill_is_carried_on(moment: str, tmp_path: Path) -> None:
    """Killed while it prepares its folder, makes its foundation or its token, it starts again."""
    data = tmp_path / "data"
    command = [sys.executable, "-m", "service", "serve", "--local", "--port", "0"]
    process = subprocess.Popen([*command, "--data", str(data)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (data / moment).exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    family = [psutil.Process(process.pid), *children_of(process.pid)]
    process.kill()
    process.wait()
    assert wait_for_end(family) == []
    with service_process(data) as served, caller(served) as api:
        assert api.get("/readyz").json()["ready"]


def test_a_second_service_on_the_same_folder_is_refused(
    tmp_path: Path, served: Served, data: Path
) -> None:
    with pytest.raises(RuntimeError, match="Another service runs"), service_process(data):
        pass
    assert httpx.get(f"{served.address}/healthz", trust_env=False).status_code == 200


def test_readiness_tells_each_part(served: Served, api: httpx.Client) -> None:
    answer: dict[str, Any] = api.get("/readyz").json()
    checks = {check["name"]: check for check in answer["checks"]}
    assert answer["ready"], answer
    assert {"database", "migrations", "foundation", "engine", "aws_identity", "worker"} <= set(
        checks
    )
    assert "embedded" in checks["engine"]["detail"]
    assert os.getpid() != served.pid
