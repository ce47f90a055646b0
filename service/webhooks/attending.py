"""What people do about events: complete what is missing, and have them looked at again."""

import json
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.webhooks import (
    WEBHOOK_EVENT_TRANSITIONS,
    WebhookEvent,
    WebhookEventState,
    move_event,
)
from service import problems
from service.problems import FieldError, Problem, describe
from service.webhooks.mapping import FIELDS
from service.wishes import Requester


def find_event(session: Session, event_id: str, *, for_update: bool = False) -> WebhookEvent:
    """Return the event, or raise the 404."""
    plausible = event_id.isascii() and event_id.isalnum() and len(event_id) <= 32
    found = session.get(WebhookEvent, event_id, with_for_update=for_update) if plausible else None
    if found is None:
        raise Problem(problems.NOT_FOUND, "There is no webhook event of this id.")
    return found


def complete(
    session: Session, requester: Requester, event: WebhookEvent, fields: Mapping[str, Any]
) -> None:
    """Add what a person knows to an event that needs attention, and have it looked at again.

    What was given before stays unless it is given again. Raises the 422 for a field that does
    not exist and the 409 for an event in another state.
    """
    unknown = [FieldError(f"fields.{name[:60]}", "is not a field") for name in fields]
    unknown = [error for error in unknown if error.field.removeprefix("fields.") not in FIELDS]
    if unknown:
        raise Problem(problems.INVALID_REQUEST, describe(unknown), errors=unknown)
    if event.state is not WebhookEventState.needs_attention:
        raise _settled(event)
    before = json.loads(event.completion) if event.completion else {}
    event.completion = json.dumps({**before, **fields})
    event.completed_by = requester.actor_id
    _again(event)
    _tell(session, requester, event, "completed", {"fields": sorted(fields)})


def replay(session: Session, requester: Requester, event: WebhookEvent) -> None:
    """Have an event looked at again that was ignored or needs attention; raises the 409."""
    if WebhookEventState.received not in WEBHOOK_EVENT_TRANSITIONS[event.state]:
        raise _settled(event)
    if event.state is WebhookEventState.processing or not event.body:
        raise _settled(event)
    before = event.state.value
    _again(event)
    _tell(session, requester, event, "replayed", {"state": before})


def _again(event: WebhookEvent) -> None:
    move_event(event, WebhookEventState.received)
    event.attempts = 0
    event.due_at = utc_now()


def _settled(event: WebhookEvent) -> Problem:
    links = {"self": f"/v1/webhook-events/{event.id}"}
    if event.operation_id is not None:
        links["operation"] = f"/v1/operations/{event.operation_id}"
    erased = "" if event.body else " and its content is erased"
    return Problem(
        problems.EVENT_SETTLED,
        f"The event is {event.state.value}{erased}; only one that was ignored or needs attention "
        "can be looked at again.",
        members={"links": links},
    )


def _tell(
    session: Session, requester: Requester, event: WebhookEvent, what: str, data: Mapping[str, Any]
) -> None:
    append_audit(
        session,
        AuditEntry(
            actor_id=requester.actor_id,
            action=f"webhook_event.{what}",
            object_type="webhook_event",
            object_id=event.id,
            source_ip=requester.source_ip,
            request_id=requester.audited_request_id,
            data=data,
        ),
    )
