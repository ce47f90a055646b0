"""Record numbers: unique, without gaps, whoever asks at the same time (SP-15)."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from models import AccessKey, Actor, PasswordForm, Record
from models.database import WriteTransactionRequired, transaction
from models.records import next_record_number, record_number
from tests.models.factories import make_client, make_key, make_record


def make_keys(engine: Engine, actor: Actor, count: int) -> list[AccessKey]:
    with transaction(engine) as session:
        client = make_client(session, actor)
        return [make_key(session, client, generation) for generation in range(1, count + 1)]


def test_the_number_is_printed_as_the_procedure_writes_it() -> None:
    """SP-15: T-050-003, the year, four digits; more when a year has more."""
    assert record_number(2026, 7) == "T-050-003-2026-0007"
    assert record_number(2026, 12_345) == "T-050-003-2026-12345"


def test_each_year_counts_from_one(engine: Engine, actor: Actor) -> None:
    keys = make_keys(engine, actor, 3)
    with transaction(engine) as session:
        years = zip(keys, (2026, 2026, 2027), strict=True)
        numbers = [make_record(session, key, actor, year).number for key, year in years]
    assert numbers == ["T-050-003-2026-0001", "T-050-003-2026-0002", "T-050-003-2027-0001"]


def test_records_written_at_once_are_numbered_without_gap_or_double(
    engine: Engine, actor: Actor
) -> None:
    """SP-15: a number is unique; one that was not used, because its writer failed, comes again."""
    keys = make_keys(engine, actor, 40)

    def write(position: int) -> None:
        with transaction(engine) as session:
            make_record(session, keys[position], actor)
            if position % 4 == 0:
                session.rollback()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(40)))
    with transaction(engine, write=False) as session:
        sequences = session.exec(select(Record.sequence).order_by(col(Record.sequence))).all()
    assert sequences == list(range(1, 31))


def test_a_number_is_given_only_inside_a_writing_transaction(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(WriteTransactionRequired):
        next_record_number(session, 2026)


def test_a_record_has_versions_under_one_number(engine: Engine, actor: Actor) -> None:
    keys = make_keys(engine, actor, 2)
    with transaction(engine) as session:
        first = make_record(session, keys[0], actor)
        values = first.model_dump(exclude={"id"})
        session.add(Record(**{**values, "version": 2}))
        session.flush()
        session.add(Record(**{**values, "version": 2, "access_key_row_id": keys[1].id}))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()


def test_a_key_has_one_number(engine: Engine, actor: Actor) -> None:
    key = make_keys(engine, actor, 1)[0]
    with transaction(engine) as session:
        make_record(session, key, actor)
        with pytest.raises(IntegrityError):
            make_record(session, key, actor)
        session.rollback()


def test_the_frozen_input_comes_back_as_it_was(engine: Engine, actor: Actor) -> None:
    frozen = {"client": {"legal_name": "ABC LLC"}, "steps": ["a", "ñ"], "valid_until": None}
    key = make_keys(engine, actor, 1)[0]
    with transaction(engine) as session:
        make_record(session, key, actor).frozen_input = frozen
    with transaction(engine, write=False) as session:
        record = session.exec(select(Record)).one()
    assert record.frozen_input == frozen
    assert record.password_form is PasswordForm.first_last
