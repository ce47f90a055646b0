"""The kinds of work that runs put under fault, and the requests that ask for them."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.clients import ClientState
from models.operations import OperationKind
from service.worker.plans import PLANS
from tests.chaos.points import AFTER, BEFORE, STEP, Point

CONTRACT: dict[str, Any] = {
    "purpose": "Clinical validation of the device",
    "data_categories": ["clinical images"],
    "contract": {
        "kind": "dpa",
        "signed_on": "2026-03-31",
        "jurisdiction": "ES",
        "signer": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@abc.example"},
    },
}


@dataclass(frozen=True)
class Denial:
    """A call that AWS denies: in one step alone, or in all of the work."""

    action: str
    step: str = ""


@dataclass(frozen=True)
class Scenario:
    """A kind of operation, what has to be done before it, and a call that AWS denies for good.

    At its end the client's state is `left`, and `keys` are due where it has an area then.
    """

    name: str
    kind: OperationKind
    before: tuple[OperationKind, ...] = ()
    denied: Denial | None = None
    left: ClientState = ClientState.open
    keys: int = 1

    @property
    def actions(self) -> tuple[OperationKind, ...]:
        """All operations in their order; the last one is the one under fault."""
        return (*self.before, self.kind)

    @property
    def ending(self) -> str:
        """The name of what ends the operation when a step of it fails for good."""
        return PLANS[self.kind].on_failure.name

    def planned(self) -> Iterator[Point]:
        """The points that the plan promises: before and after each step, or its ending."""
        steps = [step.name for step in PLANS[self.kind].steps]
        for name in [self.ending] if self.denied else steps:
            for phase in (BEFORE, AFTER):
                yield Point(self.name, name, STEP, phase)

    def is_its_own(self, point: Point) -> bool:
        """Tell whether the point is not also one of the same work that nothing is denied to."""
        return self.denied is None or point.step == self.ending


_ALL = (
    Scenario("open", OperationKind.open),
    # The last call that makes something: all the rest is there and has to be taken back.
    Scenario(
        "denied open",
        OperationKind.open,
        denied=Denial("CreateAccessKey"),
        left=ClientState.failed,
    ),
    Scenario("close", OperationKind.close, (OperationKind.open,), left=ClientState.closed),
    # The key is off by then, and must stay so.
    Scenario(
        "denied close",
        OperationKind.close,
        (OperationKind.open,),
        denied=Denial("DeleteUser"),
        left=ClientState.failed,
    ),
    Scenario("reopen", OperationKind.reopen, (OperationKind.open, OperationKind.close)),
    Scenario("rotate", OperationKind.rotate, (OperationKind.open,), keys=2),
    # Denied when the new key is made already, and has to be taken back.
    Scenario(
        "denied rotate",
        OperationKind.rotate,
        (OperationKind.open,),
        denied=Denial("GetUserPolicy", "apply"),
    ),
    Scenario("update", OperationKind.update, (OperationKind.open, OperationKind.rotate), keys=2),
    Scenario(
        "denied update",
        OperationKind.update,
        (OperationKind.open, OperationKind.rotate),
        denied=Denial("UpdateAccessKey", "retire"),
        keys=2,
    ),
    Scenario("repair", OperationKind.repair, (OperationKind.open,)),
    # What was lost behind the service's back is lost, and its successor is taken back.
    Scenario(
        "denied repair",
        OperationKind.repair,
        (OperationKind.open,),
        denied=Denial("GetUserPolicy", "apply"),
        keys=0,
    ),
)
SCENARIOS = {it.name: it for it in _ALL if it.kind in PLANS}
"""Those of which the service has a plan, by name."""


@dataclass(frozen=True)
class Request:
    """A request to the API."""

    method: str
    path: str
    json: Any = None
    params: Any = None


def request_for(kind: OperationKind, slug: str, *, ends_overlap: bool = False) -> Request:
    """The request with which a caller asks for the operation."""
    path = f"/v1/clients/{slug}"
    if kind is OperationKind.open:
        body = {**copy.deepcopy(CONTRACT), "legal_name": slug}
        body["contract"]["reference"] = f"DPA {slug}"
        return Request("POST", "/v1/clients", json=body)
    if kind is OperationKind.close:
        return Request("DELETE", path, params={"reason": "of the run"})
    if kind is OperationKind.reopen:
        return Request("POST", f"{path}/reopen", json={})
    if kind is OperationKind.rotate:
        # Over at once, where what follows is the end of the overlap.
        days = {"overlap_days": 0} if ends_overlap else {}
        return Request("POST", f"{path}/rotate", params=days)
    return Request("POST", f"{path}/refresh", params={"repair": "true"})
