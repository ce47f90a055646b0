"""Points at which a process may die: steps from the plans, calls and commits from what is seen.

A point's name is `kind/step/what/phase`: `open/make/CreateUser/after` is the instant after AWS
answered CreateUser in the step "make" of an opening. A call that only reads has one point: nothing
is another before it than after. `open/make/step/before` comes from the plan
itself, so that a step added to a plan has its points by itself. `open/make/pulumi CreateUser/after`
is a call of the official program's AWS plugin.
"""

from dataclasses import dataclass

BEFORE, AFTER = "before", "after"
STEP, COMMIT, REQUEST = "step", "commit", "request"
ENGINE = "pulumi "
"""How the names of calls begin that the official program's AWS plugin makes, not the service."""
PLUGIN = f"{ENGINE}plugin"
"""The start of that plugin: the program has taken the stack's lock, and asked nothing of AWS."""
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
    def is_call(self) -> bool:
        """Whether it is at a call to AWS."""
        return self.what not in (STEP, COMMIT)

    @property
    def is_in_engine(self) -> bool:
        """Whether the official program is at work there."""
        return self.what.startswith(ENGINE)
