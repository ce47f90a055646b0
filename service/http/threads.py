"""Threads of their own, so that taking access away waits behind no other request.

All that blocks works in threads, and what names none shares one pool. Whoever could fill that pool,
a prober or a busy caller, would else decide when a leaked key is cut.
"""

from dataclasses import dataclass, field

from anyio import CapacityLimiter
from fastapi import Request
from fastapi.routing import APIRoute

PARALLEL_PROBES = 4
PARALLEL_WISHES = 16
PARALLEL_CUTS = 16
PARALLEL_LIFTS = 8


class Urgent(APIRoute):
    """A route that switches access: who calls is found out in the threads of wishes.

    Its dependencies are coroutines, as FastAPI runs all others in the pool that is shared.
    """


@dataclass(frozen=True)
class Threads:
    """How many threads each of these may have at once.

    `wishes` look into the database and write there what is to be. `cuts` and `lifts` ask AWS,
    which may take its time: a wish to cut is committed though all of them wait for AWS, and giving
    access back never holds up taking it away.
    """

    probes: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PARALLEL_PROBES))
    wishes: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PARALLEL_WISHES))
    cuts: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PARALLEL_CUTS))
    lifts: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PARALLEL_LIFTS))


def threads_of(request: Request) -> Threads:
    """Return the threads that the application was created with."""
    threads = request.app.state.threads
    assert isinstance(threads, Threads)
    return threads


def threads_for_caller(request: Request) -> CapacityLimiter | None:
    """Return the threads in which to find out who calls; None for those that all share."""
    urgent = isinstance(request.scope.get("route"), Urgent)
    return threads_of(request).wishes if urgent else None
