"""Who waits for an operation is woken by what another process did to it: by its end, or, who
follows its events, by each.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from models.database import transaction
from models.operations import EventKind, Operation, add_event
from service.context import Services
from service.following import Follower
from service.hub import OperationHub
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]


@pytest.fixture
def elsewhere(services: Services, worker: HandWorker) -> OperationHub:
    """The hub of another process: what the worker does here is not told there."""
    hub = OperationHub()
    worker.services = replace(services, hub=OperationHub())
    return hub


@pytest.fixture
def look(services: Services, elsewhere: OperationHub) -> Callable[[], None]:
    """One look of the other process's follower."""
    return Follower(services.database, elsewhere).look


def woken(hub: OperationHub, operation: str, look: Callable[[], None], *acts: Any) -> Any:
    """After each act: was who waits for the end woken, and who follows the events?"""

    async def wait() -> list[tuple[bool, bool]]:
        async with hub.subscribe(operation) as end, hub.subscribe(operation, progress=True) as all_:
            told = []
            for act in acts:
                await asyncio.to_thread(act)
                await asyncio.to_thread(look)
                told.append((await end.wait(0.05), await all_.wait(0.05)))
            return told

    return asyncio.run(wait())


def nothing() -> None:
    """Do nothing."""


def test_end_and_progress_are_told_apart(
    api: httpx.Client,
    services: Services,
    worker: HandWorker,
    abc_llc: Request,
    elsewhere: OperationHub,
    look: Callable[[], None],
) -> None:
    """An event wakes who follows events alone; a new state wakes both; nothing new wakes nobody."""
    operation = str(api.post("/v1/clients", json=abc_llc).json()["id"])

    def tell() -> None:
        with transaction(services.database) as session:
            row = session.get_one(Operation, operation)
            add_event(row, EventKind.log, {"message": "half of it"})

    told = woken(
        elsewhere,
        operation,
        look,
        nothing,
        nothing,
        lambda: worker.begin(operation),
        tell,
        lambda: worker.finish(operation),
        nothing,
    )
    assert told == [
        (False, True),  # the first look can't know what the follower has read already
        (False, False),
        (True, True),
        (False, True),
        (True, True),
        (False, False),
    ]


def test_end_before_the_first_look(
    api: httpx.Client,
    worker: HandWorker,
    abc_llc: Request,
    elsewhere: OperationHub,
    look: Callable[[], None],
) -> None:
    """What ended between the waiter's own look and the follower's first one is told too."""
    operation = str(api.post("/v1/clients", json=abc_llc).json()["id"])
    assert woken(elsewhere, operation, look, lambda: worker.finish(operation)) == [(True, True)]
