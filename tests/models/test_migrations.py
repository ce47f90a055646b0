"""The schema: made from nothing, equal to the models, and asked for at the start."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect

from models import Table
from models.database import (
    DatabaseNotMigrated,
    DatabaseTooNew,
    ForeignKeysBroken,
    alembic_config,
    create_engine_for,
    current,
    head,
    require_migrated,
    upgrade,
)


def test_migrations_make_exactly_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Table.metadata) == []


def test_migrations_make_the_models_check_constraints(engine: Engine) -> None:
    """Alembic does not compare CHECK constraints, so this does."""
    for table in Table.metadata.sorted_tables:
        wanted = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
        found = {check["name"] for check in inspect(engine).get_check_constraints(table.name)}
        assert found == wanted, table.name


def test_migrations_make_the_models_partial_indexes(sqlite_engine: Engine, tmp_path: Path) -> None:
    """Alembic does not compare the conditions of partial indexes, so this does."""
    from_models = create_engine_for(f"sqlite:///{tmp_path / 'models.db'}")
    with from_models.begin() as connection:
        Table.metadata.create_all(connection)
    wanted, found = indexes(from_models), indexes(sqlite_engine)
    from_models.dispose()
    assert found == wanted
    assert "WHERE state IN" in found["uq_operations_unfinished"]


def indexes(engine: Engine) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    with engine.connect() as connection:
        return {row.name: row.sql for row in connection.exec_driver_sql(query)}


def test_an_empty_database_is_refused_with_the_command_to_run(database_url: str) -> None:
    engine = create_engine_for(database_url)
    assert current(engine) is None
    with pytest.raises(DatabaseNotMigrated, match="handover db upgrade"):
        require_migrated(engine)
    upgrade(database_url)
    require_migrated(engine)
    engine.dispose()


def test_a_database_at_an_older_revision_is_refused(sqlite_url: str) -> None:
    engine = create_engine_for(sqlite_url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
    with pytest.raises(DatabaseNotMigrated, match=f"0001; this version needs {head()}"):
        require_migrated(engine)
    engine.dispose()


def test_a_database_of_a_newer_version_is_left_alone(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for attempt in (lambda: require_migrated(engine), lambda: upgrade(database_url)):
        with pytest.raises(DatabaseTooNew, match="9999"):
            attempt()
    assert current(engine) == "9999"


def test_upgrades_at_the_same_time_wait_for_each_other(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(upgrade, [database_url] * 4)) == [head()] * 4


def test_an_upgrade_that_leaves_broken_references_changes_nothing(
    sqlite_url: str, tmp_path: Path
) -> None:
    engine = create_engine_for(sqlite_url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
    # A plain connection does not check foreign keys.
    with closing(sqlite3.connect(tmp_path / "handover.db")) as plain, plain:
        plain.execute(
            "INSERT INTO signers (id, contract_id, full_name, email) VALUES ('a', 'b', 'c', 'd')"
        )
    with pytest.raises(ForeignKeysBroken, match="signers"):
        upgrade(sqlite_url)
    assert current(engine) == "0001"
    engine.dispose()


def test_going_back_is_refused(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(NotImplementedError, match="backup"):
        command.downgrade(alembic_config(connection), "base")
