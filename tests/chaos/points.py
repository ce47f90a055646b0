"""Points at which a process may die: steps from the plans, calls and commits from what is seen.

A point's name is `kind/step/what/phase`: `open/make/CreateUser/after` is the instant after AWS
answered CreateUser in the step "make" of an opening. A call that only reads has one point: nothing
is another before it than after. `open/make/step/before` comes from the plan
itself, so that a step added to a plan has its points by itself.
"""

from dataclasses import dataclass

BEFORE, AFTER = "before", "after"
STEP, COMMIT, REQUEST = "step", "commit", "request"
READING = ("Get", "List", "Head")
"""How the names of AWS's calls begin that change nothing."""


@dataclass(frozen=True, order=True)
class Point:
    """One instant in the work on an operation; `kind` names the scenario."""

    kind: str
    step: str
    what: str
    phase: str

    def __str__(self) -> str:
        """Its name."""
        return "/".join((self.kind, self.step, self.what, self.phase))

    @property
    def is_read(self) -> bool:
        """Whether it is before a call that changes nothing: what a process that is killed there
        leaves is what it leaves at the point before.
        """
        return self.what.startswith(READING)

    @property
    def is_call(self) -> bool:
        """Whether it is at a call to AWS."""
        return self.what not in (STEP, COMMIT)
