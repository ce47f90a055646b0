"""AWS is away: operations wait rather than fail, the circuit opens, and work goes on by itself."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from models.clients import ClientState
from models.database import transaction
from models.operations import Operation, OperationState
from service.assembly import Runtime, build_areas, build_foundation, running
from service.local import prepare
from service.worker.circuit import THRESHOLD, Circuit
from tests.localaws import client_of
from tests.service.worker.test_worker import ended, exists, wish
from tests.waiting import until


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
