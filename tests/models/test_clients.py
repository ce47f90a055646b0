"""Clients, contracts and signers: moves between states, and what the database itself refuses."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import col, select, update

from models import Actor, Client, ClientState, Contract, Profile, Signer
from models.clients import (
    CLIENT_TRANSITIONS,
    DEFAULT_CLASSIFICATION,
    current_contract,
    find_client,
    move_client,
    replace_contract,
)
from models.database import transaction
from models.names import entity_key
from models.states import IllegalTransition
from tests.models.factories import make_client, make_contract

PERMITTED = {
    ("opening", "open"),
    ("opening", "suspended"),
    ("opening", "failed"),
    ("open", "suspended"),
    ("open", "closing"),
    ("suspended", "open"),
    ("suspended", "closing"),
    ("closing", "closed"),
    ("closing", "failed"),
    ("closing", "open"),
    ("closing", "suspended"),
    ("closed", "opening"),
    ("failed", "opening"),
    ("failed", "closing"),
}


@pytest.mark.parametrize("origin", ClientState)
@pytest.mark.parametrize("to", ClientState)
def test_a_client_moves_only_as_permitted(origin: ClientState, to: ClientState) -> None:
    client = Client(slug="ABC-LLC", state=origin)  # type: ignore[call-arg]  # never stored
    if (origin.value, to.value) in PERMITTED:
        move_client(client, to)
        assert client.state is to
    else:
        with pytest.raises(IllegalTransition, match=f"ABC-LLC is {origin} and cannot become {to}"):
            move_client(client, to)
        assert client.state is origin


def test_every_state_leads_somewhere_and_back() -> None:
    assert set(CLIENT_TRANSITIONS) == set(ClientState)
    assert all(CLIENT_TRANSITIONS.values()), "a client is never stuck: closed and failed reopen"


def test_a_client_is_what_the_procedure_says_unless_told_otherwise(
    engine: Engine, actor: Actor
) -> None:
    """PB-23: the default class; SP-24: the default profile; SP-11: an owner."""
    with transaction(engine) as session:
        make_client(session, actor, "ABC-LLC")
    with transaction(engine, write=False) as session:
        client = find_client(session, "abc-llc")
    assert client is not None
    assert client.classification == DEFAULT_CLASSIFICATION == "Personal / Confidential"
    assert (client.profile, client.state) == (Profile.hardened, ClientState.opening)
    assert (client.owner_actor_id, client.slug) == (actor.id, "ABC-LLC")


def test_a_slug_belongs_to_one_client_whatever_its_case(engine: Engine, actor: Actor) -> None:
    """SP-17, SP-19: IAM user names are unique whatever their case."""
    with transaction(engine) as session:
        make_client(session, actor, "ABC-LLC")
    with transaction(engine) as session:
        with pytest.raises(IntegrityError):
            make_client(session, actor, "abc-Llc")
        session.rollback()


def test_a_slug_without_its_key_is_refused_by_the_database(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        make_client(session, actor, "ABC-LLC")
        with pytest.raises(IntegrityError):
            session.exec(update(Client).values(slug="Another"))
        session.rollback()


def test_an_unknown_state_or_profile_cannot_be_stored(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        with pytest.raises(StatementError):
            make_client(session, actor, state="half-open")
        session.rollback()


def test_two_spellings_are_the_same_entity_and_two_names_are_not() -> None:
    assert entity_key("ABC  LLC") == entity_key("abc llc") == entity_key("ＡＢＣ LLC")
    assert entity_key("Straße AG") == entity_key("STRASSE AG")
    assert entity_key("ABC LLC") != entity_key("ABC, LLC")


@given(st.text())
def test_an_entity_key_is_its_own_key(name: str) -> None:
    assert entity_key(entity_key(name)) == entity_key(name)


def test_each_update_makes_a_new_revision(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        client = make_client(session, actor)
        before = client.updated_at
        assert client.revision == 1
        client.purpose = "Another purpose"
        session.flush()
        assert client.revision == 2
        assert client.updated_at > before


def test_an_update_never_overwrites_another(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        mine = make_client(session, actor, "ABC-LLC")
    with transaction(engine) as session:
        theirs = find_client(session, "ABC-LLC", for_update=True)
        assert theirs is not None
        theirs.purpose = "Theirs"
    with transaction(engine) as session:
        session.add(mine)
        mine.purpose = "Mine"
        with pytest.raises(StaleDataError):
            session.flush()
        session.rollback()


def test_a_new_contract_replaces_the_current_one(engine: Engine, actor: Actor) -> None:
    """SP-05: what permitted the sharing before stays on file."""
    with transaction(engine) as session:
        client = make_client(session, actor)
        first, second = make_contract(client, "DPA-1"), make_contract(client, "DPA-2")
        replace_contract(session, first)
        replace_contract(session, second)
    with transaction(engine, write=False) as session:
        now = current_contract(session, client.id)
        assert now is not None
        assert now.reference == "DPA-2"
        known = session.exec(select(Contract).order_by(col(Contract.reference))).all()
        assert [(c.reference, c.current) for c in known] == [("DPA-1", False), ("DPA-2", True)]


def test_a_client_has_one_current_contract_at_most(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        client = make_client(session, actor)
        session.add_all([make_contract(client, "DPA-1"), make_contract(client, "DPA-2")])
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"first_name": "Ada"},
        {"last_name": "Lovelace"},
        {"first_name": "Ada", "last_name": "Lovelace", "full_name": "Ada Lovelace"},
    ],
)
def test_a_signer_has_exactly_one_form_of_name(
    engine: Engine, actor: Actor, names: dict[str, str]
) -> None:
    """SP-28: the password is made of the name, so there must be one and only one."""
    with transaction(engine) as session:
        contract = make_contract(make_client(session, actor))
        session.add_all([contract, Signer(contract_id=contract.id, email="a@example.org", **names)])
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()


def test_dates_and_lists_come_back_as_they_were(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        make_client(
            session, actor, "ABC-LLC", legal_name="Δοκιμή «ñ»", valid_until=date(2027, 6, 30)
        )
    with transaction(engine, write=False) as session:
        client = find_client(session, "ABC-LLC")
    assert client is not None
    assert (client.legal_name, client.valid_until) == ("Δοκιμή «ñ»", date(2027, 6, 30))
    assert client.data_categories == ["images"]
