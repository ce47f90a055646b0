"""The other names under which a resource may be recorded.

Rules of inheritance as in Pulumi's step generator: a child of a renamed parent is looked for under
the parent's old name, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.goal import Alias, Goal
from engine.urn import make_urn, parse_urn


def alias_urns(
    goal: Goal, stack: str, project: str, old_names: Mapping[str, str]
) -> tuple[str, ...]:
    """URNs to look for, in order. ``old_names`` maps a renamed resource to its recorded URN."""
    own = [_collapse(alias, goal, stack, project) for alias in goal.aliases]
    urns = dict.fromkeys(own)
    old_parent = old_names.get(goal.parent)
    if old_parent:
        parent_name = parse_urn(goal.parent).name
        candidates = [(goal.type, goal.name)]
        candidates += [(parse_urn(urn).type, parse_urn(urn).name) for urn in own]
        for type_, name in candidates:
            inherited = _inherited_name(name, parent_name, parse_urn(old_parent).name)
            urns[make_urn(stack, project, old_parent, type_, inherited)] = None
    return tuple(urns)


def _collapse(alias: Alias, goal: Goal, stack: str, project: str) -> str:
    if alias.urn:
        return alias.urn
    parent = goal.parent if alias.parent_urn is None else alias.parent_urn
    return make_urn(
        alias.stack or stack,
        alias.project or project,
        "" if alias.no_parent else parent,
        alias.type or goal.type,
        alias.name or goal.name,
    )


def _inherited_name(child: str, parent: str, old_parent: str) -> str:
    """Children are often named after their parent: ``app-role`` of ``app``."""
    return old_parent + child.removeprefix(parent) if child.startswith(parent) else child
