"""Clients, their contracts and signers, and the states a client moves through (SP-01 to SP-07)."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import declared_attr
from sqlmodel import Field, Session, col, select, update

from models.base import JsonColumn, Table, UtcDateTime, enum_column, new_id, references, utc_now
from models.names import slug_key
from models.states import check_transition

DEFAULT_CLASSIFICATION = "Personal / Confidential"
"""The class of data when nobody states another one (PB-23)."""


class ClientState(StrEnum):
    """Where a client's area stands."""

    opening = "opening"
    open = "open"
    suspended = "suspended"
    closing = "closing"
    closed = "closed"
    failed = "failed"


CLIENT_TRANSITIONS: Mapping[ClientState, frozenset[ClientState]] = {
    ClientState.opening: frozenset({ClientState.open, ClientState.suspended, ClientState.failed}),
    ClientState.open: frozenset({ClientState.suspended, ClientState.closing}),
    ClientState.suspended: frozenset({ClientState.open, ClientState.closing}),
    ClientState.closing: frozenset(
        {ClientState.closed, ClientState.failed, ClientState.open, ClientState.suspended}
    ),
    ClientState.closed: frozenset({ClientState.opening}),
    ClientState.failed: frozenset({ClientState.opening, ClientState.closing}),
}
"""To which states a client may move from each; `move_client` refuses every other move. From
`closing` back to `open` or `suspended` only while nothing of the closing has begun."""


class Profile(StrEnum):
    """A named IAM policy: what a client's key may do inside its own prefix (SP-24, PB-17)."""

    sp_050_003 = "sp-050-003"
    hardened = "hardened"
    read_only = "read-only"
    write_only = "write-only"


class ContractKind(StrEnum):
    """Which contract permits the sharing: a signed DPA (SP-07) or a customer contract (SP-06)."""

    dpa = "dpa"
    customer = "customer"


class Client(Table, table=True):
    """A third party with an area. Rows are never deleted: a slug stays with its entity for ever.

    `slug_key` and `entity_key` come from `models.names`. `revision` grows with every update and
    guards it: a flush that would overwrite somebody else's change raises SQLAlchemy's
    StaleDataError (it serves as the ETag). `remaining_…` is what still lay under the prefix when
    the area was last closed. `suspended_at` is desired state: while it is set no key of the
    client may work, whatever `state` says about work that is under way. `cut_at` is since when
    AWS holds a cut, as far as is known: a suspension without it is still to be carried out, and
    one that was lifted with it is still to be lifted in AWS. `resumed_reason` is why the last
    suspension was lifted. `expiry_warned_days` is the last
    threshold before `valid_until` that was warned of.
    """

    __tablename__ = "clients"
    __table_args__ = (
        CheckConstraint("slug_key = lower(slug)", name="slug_key_is_lower_slug"),
        CheckConstraint("length(slug) BETWEEN 1 AND 50", name="slug_length"),
        Index("ix_clients_state_slug_key", "state", "slug_key"),
        Index("ix_clients_entity_key", "entity_key"),
        Index("ix_clients_valid_until", "valid_until"),
    )

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.revision}  # type: ignore[attr-defined]

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    slug: str = Field(max_length=50)
    slug_key: str = Field(max_length=50, unique=True)
    legal_name: str
    entity_key: str
    purpose: str
    data_categories: list[str] = Field(default_factory=list, sa_type=JsonColumn)
    special_category: bool = False
    classification: str = DEFAULT_CLASSIFICATION
    profile: Profile = Field(default=Profile.hardened, sa_type=enum_column(Profile))
    language: str = Field(default="en", max_length=8)
    state: ClientState = Field(default=ClientState.opening, sa_type=enum_column(ClientState))
    owner_actor_id: str = Field(sa_column_args=references("actors.id"), index=True)
    valid_until: date | None = None
    bucket: str = Field(max_length=63)
    prefix: str = Field(max_length=64)
    region: str = Field(max_length=32)
    user_name: str = Field(max_length=64)
    suspended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    suspended_reason: str | None = None
    cut_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    resumed_reason: str | None = None
    expiry_warned_days: int | None = None
    remaining_objects: int | None = Field(default=None, sa_type=BigInteger)
    remaining_bytes: int | None = Field(default=None, sa_type=BigInteger)
    remaining_counted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: datetime = Field(
        default_factory=utc_now, sa_type=UtcDateTime, sa_column_kwargs={"onupdate": utc_now}
    )
    revision: int = 1


class Contract(Table, table=True):
    """What permits the sharing (SP-05). One contract a client is the current one; older ones stay.

    `jurisdiction` is an ISO 3166-1 alpha-2 code; `reference_key` is `models.names.reference_key`.
    """

    __tablename__ = "contracts"
    __table_args__ = (
        Index(
            "uq_contracts_current",
            "client_id",
            unique=True,
            sqlite_where=text('"current"'),
            postgresql_where=text('"current"'),
        ),
        Index("ix_contracts_reference_key", "reference_key"),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    client_id: str = Field(sa_column_args=references("clients.id"), index=True)
    kind: ContractKind = Field(sa_type=enum_column(ContractKind))
    our_role: str = Field(default="processor", max_length=32)
    reference: str
    reference_key: str
    signed_on: date
    ends_on: date | None = None
    jurisdiction: str = Field(max_length=2)
    file_sha256: str | None = Field(default=None, max_length=64)
    current: bool = True
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Signer(Table, table=True):
    """Who signed a contract: either first and last name, or one full name that is never split."""

    __tablename__ = "signers"
    __table_args__ = (
        CheckConstraint(
            "(full_name IS NULL AND first_name IS NOT NULL AND last_name IS NOT NULL)"
            " OR (full_name IS NOT NULL AND first_name IS NULL AND last_name IS NULL)",
            name="one_form_of_name",
        ),
    )

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    contract_id: str = Field(sa_column_args=references("contracts.id"), index=True)
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    email: str


def find_client(session: Session, slug: str, *, for_update: bool = False) -> Client | None:
    """The client that holds this slug, whatever its case, or None.

    With `for_update` the row is locked until the transaction ends (PostgreSQL; on SQLite a
    writing transaction already excludes every other writer).
    """
    query = select(Client).where(Client.slug_key == slug_key(slug))
    if for_update:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.exec(query).one_or_none()


def current_contract(session: Session, client_id: str) -> Contract | None:
    """The contract under which the client is served now, or None."""
    query = select(Contract).where(Contract.client_id == client_id, col(Contract.current))
    return session.exec(query).one_or_none()


def replace_contract(session: Session, contract: Contract) -> None:
    """Make `contract` its client's current one; the one before stays as history."""
    earlier = col(Contract.client_id) == contract.client_id
    session.exec(update(Contract).where(earlier, col(Contract.current)).values(current=False))
    contract.current = True
    session.add(contract)
    session.flush()


def move_client(client: Client, to: ClientState) -> None:
    """Move a client to another state; the one function that does.

    Raises IllegalTransition when CLIENT_TRANSITIONS does not permit the move.
    """
    check_transition(CLIENT_TRANSITIONS, client.state, to, f"Client {client.slug}")
    client.state = to
