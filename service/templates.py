"""The record's template as a controlled document: who signed which version, and which version new
records are made under (SP-08, SP-29, SP-30).

The versions, and the rules for signing them, lie in `pdf/`. Signatures given while the service
runs lie in the database, each naming the verified commit that it stands for.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlmodel import Session

from models.actors import Actor, ActorKind
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.database import lock_ledger
from models.templates import ApprovalStep, TemplateApproval, template_approvals
from pdf import (
    APPROVAL_ROLES,
    Approval,
    ApprovalError,
    TemplateVersion,
    choose,
    template,
    templates,
)

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class TemplateState:
    """A version of the template and where it stands.

    `version.approvals` are the signatures that count. With `changed` the words are no longer those
    that were signed, so that none of the recorded signatures counts.
    """

    version: TemplateVersion
    changed: bool
    chosen: bool

    @property
    def due(self) -> ApprovalStep | None:
        """The step that is to be signed next, None when there is none."""
        if not self.version.draft or self.changed:
            return None
        return list(ApprovalStep)[len(self.version.approvals)]


def template_states(session: Session, zone: ZoneInfo) -> list[TemplateState]:
    """Return every version that the program holds, oldest first; `zone` is that of the days."""
    recorded = _recorded(session, zone)
    chosen = choose(recorded).version
    states = []
    for known in templates():
        approvals = recorded[known.version]
        changed = any(approval.digest != known.digest for approval in approvals)
        signed = known if changed else known.signed(*approvals)
        states.append(TemplateState(signed, changed, chosen=known.version == chosen))
    return states


def template_state(session: Session, zone: ZoneInfo, version: str) -> TemplateState:
    """Return one version; raises `pdf.UnknownTemplateError`."""
    known = template(version)
    states = template_states(session, zone)
    return next(state for state in states if state.version.version == known.version)


def chosen_template(session: Session, zone: ZoneInfo) -> TemplateVersion:
    """Return the version that new records are made under, with its signatures.

    The last approved one, so that a new version stops nothing while it waits for its signatures;
    with none approved the newest draft, which is printed as such.
    """
    return choose(_recorded(session, zone))


def approve(
    session: Session,
    by: Actor,
    zone: ZoneInfo,
    *,
    actor: Actor,
    version: str,
    step: ApprovalStep,
    commit: str,
) -> TemplateApproval:
    """Write down that `actor` signed a step of a version with a verified commit (SP-29, SP-30).

    `by` is who writes it down; both are in the audit. Raises `pdf.UnknownTemplateError`, and
    `pdf.ApprovalError` unless the step is the next one due, the actor is an active person who
    holds a role of that step and signed no other, and `commit` is the whole id of the commit that
    the earlier steps name.
    """
    # Two signatures at once take turns, so that each sees what the other has written.
    lock_ledger(session)
    state = template_state(session, zone, version)
    if state.changed:
        raise ApprovalError(
            f"version {version} says something else than when it was signed; make it a new version"
        )
    if not _COMMIT.fullmatch(commit):
        raise ApprovalError("the commit must be its whole id of 40 or 64 hexadecimal digits")
    row = TemplateApproval(
        template_version=version,
        step=step,
        role=_role_for(actor, step),
        actor_id=actor.id,
        approved_at=utc_now(),
        commit_id=commit,
        digest=state.version.digest,
    )
    state.version.signed(_approval(row, zone))
    session.add(row)
    _tell(session, by, row)
    return row


def _recorded(session: Session, zone: ZoneInfo) -> dict[str, list[Approval]]:
    """Return the signatures of the database by version, without those that the registry has."""
    found: defaultdict[str, list[Approval]] = defaultdict(list)
    published = {
        (known.version, approval.step) for known in templates() for approval in known.approvals
    }
    for row in template_approvals(session):
        if (row.template_version, row.step.value) not in published:
            found[row.template_version].append(_approval(row, zone))
    return found


def _approval(row: TemplateApproval, zone: ZoneInfo) -> Approval:
    return Approval(
        step=row.step.value,
        role=row.role,
        on=row.approved_at.astimezone(zone).date(),
        commit=row.commit_id,
        by=row.actor_id,
        digest=row.digest,
    )


def _role_for(actor: Actor, step: ApprovalStep) -> str:
    """Return the role in which the actor signs; raises ApprovalError where it may not."""
    if actor.kind is not ActorKind.person or not actor.active:
        raise ApprovalError(f"{actor.name} is no active person; only people sign")
    permitted = APPROVAL_ROLES[step.value]
    held = sorted(permitted.intersection(actor.roles))
    if not held:
        allowed = " or ".join(sorted(permitted))
        raise ApprovalError(
            f"{actor.name} cannot sign as {step.value}: that is {allowed}, and "
            f"{actor.name} holds {', '.join(sorted(actor.roles)) or 'no role'}"
        )
    return held[0]


def _tell(session: Session, by: Actor, row: TemplateApproval) -> None:
    data = {
        "template": f"v{row.template_version}",
        "step": row.step.value,
        "role": row.role,
        "signed_by": row.actor_id,
        "commit": f"git:{row.commit_id}",
        "sha256": row.digest,
    }
    entry = AuditEntry(by.id, "template.approved", "template_approval", row.id, data=data)
    append_audit(session, entry)
