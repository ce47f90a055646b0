"""``python -m tests.service.unhurried``: the service, with more patience than in production.

A worker that has not reached its database for seconds ends itself, as it must. On a machine that
others keep busy a process may get no processor for as long, and a test of something else would
fail. So in tests workers wait longer, in the same proportions, and do not stand back for others.
What the limits promise is measured in `tests/service/workers/test_takeover.py`.
"""

import os

from models import workers
from service.cli import main, worker
from service.worker import locks, presence

TIMES = 3
"""Times as long as in production; less than an accidental pause of the machine is rare enough."""
TAKEN_OVER_AS_PROMISED = {"TAKEN_OVER_AS_PROMISED": "1"}
"""Variables for a worker that takes a dead one's operations over as soon as in production."""

_LOST, _DEAD, _SESSION = presence.LOST_SECONDS, dict(workers.DEAD_AFTER), locks._SESSION


def unhurried() -> None:
    """Give this process's worker more patience; harmless when it has it already."""
    presence.LOST_SECONDS = _LOST * TIMES
    locks._SESSION = (*_SESSION, f"SET statement_timeout = '{2 * TIMES}s'")
    worker.NICE = 0
    if not os.environ.keys() & TAKEN_OVER_AS_PROMISED:
        workers.DEAD_AFTER.update({name: limit * TIMES for name, limit in _DEAD.items()})


if __name__ == "__main__":
    unhurried()
    main()
