"""Decides what becomes of an event that is a wish: one contract makes one client, for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sqlmodel import Session

from models.clients import Client, ClientState
from models.names import reference_key, slug_key
from models.operations import Operation
from models.webhooks import WebhookEventState, clients_under, lock_reference
from service.context import Services
from service.intake import validate
from service.intents import Admission, begin_open
from service.problems import FieldError, Problem, describe
from service.requests import CreateClient
from service.wishes import Requester


@dataclass(frozen=True)
class Outcome:
    """What becomes of an event: its state, why, which fields are wrong, what it was read as."""

    state: WebhookEventState
    reason: str | None = None
    errors: Sequence[FieldError] = ()
    fields: Mapping[str, Any] | None = None
    client_id: str | None = None
    slug: str | None = None
    notes: Sequence[str] = field(default=())

    @property
    def sentence(self) -> str | None:
        """The reason with its notes, for people."""
        return " ".join([*([self.reason] if self.reason else []), *self.notes]) or None


class Settled(Exception):
    """The wish opens no area; `outcome` says why. Raised to leave the transaction unwritten."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.reason)


def open_area(
    session: Session,
    services: Services,
    request: CreateClient,
    requester: Requester,
    admit: Admission,
) -> Operation:
    """Write the wish to open the area, as POST /v1/clients does.

    Raises Settled for a contract that has its client already, and for a reference under two
    slugs; raises the Problem of a gate that refuses.
    """
    intent = validate(request, services.today(), services.records.can_print)
    key = reference_key(intent.contract.reference)
    lock_reference(session, key)
    known = clients_under(session, key)
    _refuse_two_slugs(known, intent.slug)
    for client in known:
        if client.state is not ClientState.failed:
            raise Settled(_duplicate(client))
    return begin_open(session, services.settings, intent, requester, admit)


def is_for_later(problem: Problem) -> bool:
    """Tell whether the wish would be granted later as it is: a full queue, a sick machine."""
    return problem.problem.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def refused(problem: Problem) -> Outcome:
    """Return the outcome of a wish that is refused: it waits, or a person has to look at it."""
    if is_for_later(problem):
        return Outcome(WebhookEventState.received, f"{problem.detail} It is tried again by itself.")
    return Outcome(WebhookEventState.needs_attention, problem.detail, problem.errors)


def incomplete(errors: Sequence[FieldError], notes: Sequence[str]) -> Outcome:
    """Return the outcome of an event that lacks fields, naming them."""
    sentences = [f"{note[:1].upper()}{note[1:]}." for note in notes]
    return Outcome(
        WebhookEventState.needs_attention, describe(errors), tuple(errors), notes=sentences
    )


def _refuse_two_slugs(known: Sequence[Client], slug: str) -> None:
    others = sorted({c.slug for c in known if slug_key(c.slug) != slug_key(slug)})
    if others:
        reason = (
            f"The contract's reference belongs to {', '.join(others)} already, and this event "
            f"would open {slug}. Correct the reference, or give the slug {others[0]} if it is the "
            "same client."
        )
        errors = (FieldError("contract.reference", f"belongs to {', '.join(others)} already"),)
        raise Settled(Outcome(WebhookEventState.needs_attention, reason, errors, slug=slug))


def _duplicate(client: Client) -> Outcome:
    reopen = "; reopen it by hand if it is to open again" if client.state == "closed" else ""
    reason = f"The contract has its client already: {client.slug}, {client.state.value}{reopen}."
    return Outcome(WebhookEventState.duplicate, reason, client_id=client.id, slug=client.slug)
