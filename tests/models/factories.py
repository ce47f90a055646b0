"""Rows with plain values, for tests that care about something else in them."""

import itertools
from datetime import date
from typing import Any

from sqlmodel import Session

from models import (
    AccessKey,
    Actor,
    Client,
    Contract,
    ContractKind,
    Operation,
    OperationKind,
    PasswordForm,
    Record,
)
from models.names import entity_key, reference_key, slug_key
from models.records import next_record_number, record_number

_numbers = itertools.count(1)


def make_actor(session: Session, name: str | None = None, **values: Any) -> Actor:
    """An active person."""
    actor = Actor(name=name or f"actor-{next(_numbers)}", **values)
    session.add(actor)
    session.flush()
    return actor


def make_client(
    session: Session,
    owner: Actor,
    slug: str | None = None,
    legal_name: str | None = None,
    **values: Any,
) -> Client:
    """A client that is being opened."""
    slug = slug or f"Client-{next(_numbers)}"
    name = legal_name or slug.replace("-", " ")
    client = Client(
        slug=slug,
        slug_key=slug_key(slug),
        legal_name=name,
        entity_key=entity_key(name),
        purpose="Clinical validation",
        data_categories=["images"],
        owner_actor_id=owner.id,
        bucket="legit-health-clients",
        prefix=f"{slug}/",
        region="eu-west-3",
        user_name=slug,
        **values,
    )
    session.add(client)
    session.flush()
    return client


def make_contract(client: Client, reference: str = "DPA-1") -> Contract:
    """A signed data processing agreement, not yet added to a session."""
    return Contract(
        client_id=client.id,
        kind=ContractKind.dpa,
        reference=reference,
        reference_key=reference_key(reference),
        signed_on=date(2026, 1, 31),
        jurisdiction="ES",
    )


def make_key(session: Session, client: Client, generation: int = 1) -> AccessKey:
    """A key of which AWS has not told anything yet."""
    key = AccessKey(client_id=client.id, generation=generation)
    session.add(key)
    session.flush()
    return key


def make_operation(session: Session, client: Client, actor: Actor, **values: Any) -> Operation:
    """A pending operation that opens the client's area."""
    operation = Operation(
        client_id=client.id, requested_by=actor.id, **{"kind": OperationKind.open, **values}
    )
    session.add(operation)
    session.flush()
    return operation


def make_record(session: Session, key: AccessKey, actor: Actor, year: int = 2026) -> Record:
    """The first version of the next record of the year."""
    sequence = next_record_number(session, year)
    record = Record(
        number=record_number(year, sequence),
        year=year,
        sequence=sequence,
        client_id=key.client_id,
        access_key_row_id=key.id,
        template_version="1",
        frozen_input={},
        password_form=PasswordForm.first_last,
        issued_by=actor.id,
    )
    session.add(record)
    session.flush()
    return record
