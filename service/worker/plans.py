"""Which steps each kind of operation takes, in order, and what ends it when one of them fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.operations import OperationKind
from service.worker import (
    changing,
    closing,
    endings,
    forgetting,
    opening,
    repairing,
    rotating,
    updating,
)
from service.worker.patience import StepFunction
from service.worker.work import FailureReference, Ticket, Work


@dataclass(frozen=True)
class Step:
    """One step under the name that the durable engine records; it may run more than once."""

    name: str
    function: StepFunction


@dataclass(frozen=True)
class Ending:
    """What runs after a step that failed for good; it ends the operation."""

    name: str
    function: Callable[[Work, Ticket, FailureReference], None]


@dataclass(frozen=True)
class Plan:
    """The steps of one kind of operation, and what ends it when it fails.

    `out_of_turn` ends one that has to stop while another run still works on its client: it touches
    rows only, and AWS by direct calls that cut a key.
    """

    steps: tuple[Step, ...]
    on_failure: Ending
    out_of_turn: Ending


_OPEN = Plan(
    (Step("make", opening.make), Step("hand out", opening.hand_out)),
    Ending("roll back", opening.roll_back),
    Ending("cut", endings.cut_and_end),
)
_CLOSE = Plan(
    (
        Step("key off", closing.key_off),
        Step("tear down", closing.tear_down),
        Step("closed", closing.closed),
    ),
    Ending("leave", closing.leave_as_it_is),
    Ending("leave", closing.leave_as_it_is),
)

_ROTATE = Plan(
    (
        Step("make room", rotating.make_room),
        Step("apply", changing.apply),
        Step("hand over", rotating.hand_over),
    ),
    Ending("take back", changing.take_back),
    Ending("cut", changing.cut_new_and_end),
)
_UPDATE = Plan(
    (
        Step("retire", updating.retire),
        Step("forget", forgetting.forget),
        Step("retired", updating.retired),
    ),
    Ending("postpone", updating.postpone),
    Ending("postpone", updating.postpone),
)
_REPAIR = Plan(
    (
        Step("refresh", repairing.refresh),
        Step("apply", changing.apply),
        Step("repaired", repairing.repaired),
    ),
    Ending("take back", changing.take_back),
    Ending("cut", changing.cut_new_and_end),
)

PLANS: Mapping[OperationKind, Plan] = {
    OperationKind.open: _OPEN,
    OperationKind.reopen: _OPEN,
    OperationKind.close: _CLOSE,
    OperationKind.rotate: _ROTATE,
    OperationKind.update: _UPDATE,
    OperationKind.repair: _REPAIR,
}
"""The plan of each kind of operation."""
