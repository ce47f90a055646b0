"""The audit of approvals: who asked, who decided, what came of it; ids and codes only (RX-17)."""

from typing import Any

from sqlmodel import Session

from models.approvals import Approval
from models.audit import AuditEntry, append_audit
from service.wishes import Requester


def tell(
    session: Session, by: Requester, action: str, approval: Approval, **data: str | None
) -> None:
    """Append what was done with an approval to the audit."""
    known: dict[str, Any] = {
        "operation_id": approval.operation_id,
        "rule": approval.rule,
        "role": approval.role,
    }
    append_audit(
        session,
        AuditEntry(
            actor_id=by.actor_id,
            action=action,
            object_type="approval",
            object_id=approval.id,
            client_id=approval.client_id,
            source_ip=by.source_ip,
            request_id=by.audited_request_id,
            data=known | {key: value for key, value in data.items() if value is not None},
        ),
    )
