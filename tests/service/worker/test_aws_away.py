"""AWS is away: operations wait rather than fail, the circuit opens, and work goes on by itself."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.localaws import LocalAws
from models.clients import ClientState
from models.database import transaction
from models.operations import Operation, OperationState
from service.assembly import Runtime, build_areas, build_foundation, running
from service.local import prepare
from service.worker.beginning import begin
from service.worker.circuit import THRESHOLD, Circuit
from service.worker.patience import carry_out
from service.worker.work import FailureReference, Ticket, Work, failure_of
from tests.faults.faults import DENIED, THROTTLED, UNAVAILABLE, Fault, Reset
from tests.faults.proxy import FaultProxy
from tests.localaws import client_of
from tests.service.house import House, served
from tests.service.suspension.conftest import hands, idle
from tests.service.suspension.hands import Hands, new_name
from tests.service.worker.test_worker import ended, exists, wish
from tests.waiting import PATIENCE, until

__all__ = ["hands", "idle"]


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[LocalAws]:
    """A local AWS that only this test uses, as it is stopped in it."""
    local = LocalAws.start(tmp_path / "aws")
    try:
        yield local
    finally:
        local.stop()


def test_operations_wait_for_an_aws_that_is_away(
    tmp_path: Path, own_aws: LocalAws, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = prepare(tmp_path / "data")
    environment = own_aws.environment()
    areas = build_areas(settings, environment)
    build_foundation(settings, areas).up()
    port = int(own_aws.endpoint_url.rsplit(":", 1)[1])
    with running(settings, environment) as runtime:
        runtime.services.areas.account()
        own_aws.stop()
        ids = [wish(runtime, f"{unique}-{number}") for number in range(THRESHOLD)]
        for operation_id in ids:
            assert waits(runtime, operation_id).state is OperationState.running
    # A stop while they wait neither hangs nor ends them.
    assert "did not end in time" not in caplog.text
    with LocalAws.start(tmp_path / "aws", port=port), running(settings, environment) as runtime:
        for operation_id in ids:
            operation, client = ended(runtime, operation_id)
            assert (operation.state, client.state) == (OperationState.succeeded, ClientState.open)
            assert operation.waiting_for is None
            assert exists(client_of(own_aws, "iam"), client.slug)


def waits(runtime: Runtime, operation_id: str) -> Operation:
    def look() -> Operation | None:
        with transaction(runtime.services.database, write=False) as session:
            operation = session.get_one(Operation, operation_id)
        return operation if operation.waiting_for else None

    return until(look, lambda: f"{operation_id} does not say that it waits")


def since(circuit: Circuit) -> datetime | None:
    return circuit.open_since


def test_the_circuit_lets_nobody_through_until_aws_answers_again() -> None:
    answers = False
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return answers

    circuit = Circuit(ask)
    circuit._pause = 3600.0
    for _ in range(THRESHOLD - 1):
        circuit.failed()
        assert circuit.permits()
    circuit.failed()
    assert since(circuit)
    assert not circuit.permits()
    assert asked == 0, "asked at once, although the pause had only begun"
    answers = True
    circuit._ask_at = time.monotonic()  # the pause is over
    assert circuit.permits()
    assert not since(circuit)
    assert asked == 1


def test_an_answer_in_between_keeps_the_circuit_closed() -> None:
    circuit = Circuit(lambda: False)
    for _ in range(3 * THRESHOLD):
        circuit.failed()
        circuit.succeeded()
    assert circuit.permits()


@pytest.mark.parametrize("action", ["GetCallerIdentity", "GetGroupPolicy", "HeadBucket"])
def test_the_circuit_stays_open_while_one_service_is_away(
    idle: House, local_aws: LocalAws, action: str
) -> None:
    """STS, IAM and S3 each: an area needs all three."""
    with FaultProxy(local_aws) as proxy:
        circuit = Circuit(build_areas(idle.services.settings, proxy.environment()).answers)
        proxy.inject(action, UNAVAILABLE)
        for _ in range(THRESHOLD):
            circuit.failed()
        until(lambda: not circuit.permits() and proxy.calls.count(action) > 0)
        assert since(circuit), "the others answer, and so it closed"
        proxy.calm()
        until(circuit.permits)
        for fault in (THROTTLED, DENIED):
            proxy.inject(action, fault)
            for _ in range(THRESHOLD):
                circuit.failed()
            # A refusal is an answer too: what is wrong is then told by the operation itself.
            until(circuit.permits)
            proxy.calm()


@pytest.mark.parametrize(
    ("code", "opens"),
    [
        ("Throttling", False),
        ("SlowDown", False),
        ("ConcurrentModification", False),
        ("StackLocked", False),
        ("ServiceUnavailable", True),
        ("AwsUnreachable", True),
    ],
)
def test_what_opens_the_circuit(idle: House, hands: Hands, code: str, opens: bool) -> None:
    """AWS that throttles, or is busy with the same thing, is there."""
    operation = idle.ask_open(new_name()).json()["id"]
    begin(hands.work, Ticket(operation, 1))
    failures = [failure_of(code, "of the test", transient=True)] * THRESHOLD
    asked: list[str] = []

    def fails(_work: Work, _ticket: Ticket) -> FailureReference | None:
        return failures.pop() if failures else None

    def answers() -> bool:
        asked.append("is AWS there?")
        return True

    hands.work.circuit = Circuit(answers)
    assert carry_out(hands.work, Ticket(operation, 1), fails) is None
    assert bool(asked) == opens, "that is asked while the circuit is open, and not else"


@pytest.mark.parametrize("action", ["GetCallerIdentity", "GetGroupPolicy"])
@pytest.mark.parametrize(("fault", "ready"), [(THROTTLED, True), (Reset(), False)])
def test_a_throttled_aws_leaves_the_api_ready(
    idle: House, local_aws: LocalAws, action: str, fault: Fault, ready: bool
) -> None:
    """Taken out of a load balancer it could cut no key; an AWS that is away is told as such."""
    with FaultProxy(local_aws) as proxy:
        areas = build_areas(idle.services.settings, proxy.environment())
        proxy.inject(action, fault)
        with served(replace(idle.services, areas=areas)) as address:
            # The first who ask may be told that AWS has not answered yet.
            until(lambda: "in time" not in aws_checks(address)["aws_identity"]["detail"])
            found = aws_checks(address)
    assert all(check["ok"] for check in found.values()) == ready, found
    slower = [check for check in found.values() if "fewer calls" in check["detail"]]
    assert bool(slower) == ready, found


def aws_checks(address: str) -> dict[str, dict[str, Any]]:
    """What /readyz says about AWS to somebody without a token."""
    answer = httpx.get(f"{address}/readyz", timeout=PATIENCE, trust_env=False)
    checks = {one["name"]: one for one in answer.json()["checks"]}
    return {name: checks[name] for name in ("aws_identity", "foundation")}
