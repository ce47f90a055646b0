"""Which condition needs whose approval, from a file or as the procedure has it (SP-04, SP-09).

A file is TOML or JSON, a list named `rules`; each rule has a `name`, a condition as `when`, a
`role`, how many `approvers` (1 unless given), and an `alternate` role (JD-001 unless given).
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.approvals import Condition

ApproverRole = Literal["JD-001", "JD-004", "JD-005"]
"""Who may be asked: General Manager, Quality Manager, Technical Manager (SP-050-003)."""

DELEGATE_ROLE = "JD-009"
"""To whom a role's decisions may be delegated (SP-16)."""


class RulesError(ValueError):
    """The file with the rules cannot be used; the message says what is wrong with it."""


class Rule(BaseModel):
    """When a condition is met, so many holders of the role have to approve.

    `alternate` decides where the requester is the only one who holds the role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9]{0,23}(-[a-z0-9]{1,23}){0,3}$", max_length=64)
    when: Condition
    role: ApproverRole
    approvers: int = Field(default=1, ge=1, le=9)
    alternate: ApproverRole = "JD-001"

    @model_validator(mode="after")
    def _somebody_else(self) -> Self:
        if self.alternate == self.role:
            raise ValueError(f"the alternate has to be another role than {self.role}")
        return self


class ApprovalRules(BaseModel):
    """All rules: each condition has one or several, and each of those has to be met."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _without_gaps(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules have the name {', '.join(twice)}")
        # A condition that no rule is about would open areas that nobody has approved.
        if missing := sorted(set(Condition) - {rule.when for rule in self.rules}):
            raise ValueError(f"no rule is about {', '.join(missing)}")
        return self

    def when(self, condition: Condition) -> list[Rule]:
        """Return the rules of a condition."""
        return [rule for rule in self.rules if rule.when is condition]


DEFAULT_RULES = ApprovalRules(
    rules=(
        Rule(name="jurisdiction", when=Condition.other_jurisdiction, role="JD-005"),
        Rule(
            name="special-category",
            when=Condition.special_category,
            role="JD-001",
            alternate="JD-005",
        ),
        Rule(name="profile", when=Condition.profile, role="JD-004"),
    )
)
"""What SP-050-003 says or implies; docs/decisions tells why."""


def load_rules(file: Path) -> ApprovalRules:
    """Return the rules in a file; raises RulesError."""
    try:
        content = _parsed(file)
        return ApprovalRules.model_validate(content)
    except ValidationError as error:
        raise RulesError(f"cannot be used: {_told(error)}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RulesError(f"cannot be read as TOML or JSON: {type(error).__name__}") from None


def _parsed(file: Path) -> Mapping[str, Any]:
    text = file.read_text("utf-8")
    parsed = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    return parsed if isinstance(parsed, dict) else {}


def _told(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason
