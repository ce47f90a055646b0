"""The database: engines for SQLite and PostgreSQL, transactions, and the revision of the schema."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
BUSY_SECONDS = 30
"""How long a writer waits for another one before the database answers that it is locked."""
FROZEN_SECONDS = 8
"""How long PostgreSQL keeps a transaction in which nothing happens. A process that is frozen, or
whose machine is gone, would else hold its row locks for ever."""

_WRITES = "handover_writes"
_LEDGER_LOCK, _SCHEMA_LOCK = 0x48616E64_01, 0x48616E64_02
_POSTGRESQL_DEFAULTS = {
    "application_name": "handover",
    "connect_timeout": "10",
    "options": f"-c lock_timeout={BUSY_SECONDS}s "
    f"-c idle_in_transaction_session_timeout={FROZEN_SECONDS}s",
}
_FOREIGN_KEY_FAULTS = "PRAGMA foreign_key_check"


LastWords = Callable[[Session, list[Any]], None]
"""What is written at the very end of a transaction."""


class Turn(IntEnum):
    """In which order last words are said, and the lock of each: so nobody waits in a circle."""

    feed = 0x48616E64_03
    chain = 0x48616E64_04


class DatabaseUrlError(ValueError):
    """The database URL is not one of a SQLite file or of PostgreSQL."""


class WriteTransactionRequired(RuntimeError):
    """Something that must be serialised was asked for outside `transaction(engine)`."""


class DatabaseNotMigrated(RuntimeError):
    """The database's schema is older than this program needs; the message names the command."""


class DatabaseTooNew(RuntimeError):
    """The database's schema was made by a newer version of this program."""


class ForeignKeysBroken(RuntimeError):
    """A migration would leave rows that refer to missing ones; nothing was changed."""


def create_engine_for(url: str) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql://…` (psycopg 3).

    SQLite: WAL, foreign keys, synchronous FULL. Both wait BUSY_SECONDS for a lock. Values of
    statements never appear in error messages. Raises DatabaseUrlError, without quoting the URL.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, hide_parameters=True, pool_timeout=BUSY_SECONDS)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        parsed.update_query_dict({**_POSTGRESQL_DEFAULTS, **parsed.query}),
        hide_parameters=True,
        pool_pre_ping=True,
    )
    event.listen(engine, "begin", _begin_postgresql)
    event.listen(engine, "handle_error", _hide_details)
    engine.dialect.statement_compiler = _RowLocks
    return engine


class _RowLocks(PGCompiler_psycopg):
    """Writes each `with_for_update()` as FOR NO KEY UPDATE: no key of a row is ever changed.

    FOR UPDATE would also keep out the check of a foreign key that refers to the row, which comes
    at another transaction's commit: two writers of one client's rows would wait for each other.
    """

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        """Return the clause that locks the rows."""
        clause: str = super().for_update_clause(select, **kw)  # type: ignore[no-untyped-call]
        return clause.replace(" FOR UPDATE", " FOR NO KEY UPDATE", 1)


class _Transaction(Session):
    """A session that says its last words just before it commits."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._last_words: dict[tuple[Turn, LastWords], list[Any]] = {}

    def say_last(self, turn: "Turn", words: LastWords, of: Any) -> None:
        """Have `words` called before the commit, once, with all that it was given."""
        self._last_words.setdefault((turn, words), []).append(of)

    def commit(self) -> None:
        """Flush, say the last words, commit."""
        if self._last_words:
            self.flush()
            in_turn = sorted(self._last_words.items(), key=lambda item: item[0][0])
            for (_, words), given in in_turn:
                words(self, given)
            self._last_words.clear()
        super().commit()

    def rollback(self) -> None:
        """Undo what was done, and keep silent on it."""
        self._last_words.clear()
        super().rollback()


@contextmanager
def transaction(engine: Engine, *, write: bool = True) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back on any error.

    A writer on SQLite begins with BEGIN IMMEDIATE, so that it waits its turn instead of failing
    half-way. With `write=False` the database refuses changes, and nothing is committed. Objects
    stay readable after the end. Do not nest two writers in one thread: the inner one would wait
    for the outer one.
    """
    options = {_WRITES: write}
    with _Transaction(engine.execution_options(**options)) as session:
        yield session
        if write:
            session.commit()


def lock_ledger(session: Session) -> None:
    """Make others who take a record's number, or sign a template, wait for this transaction.

    Flushes first, so that rows changed so far are locked before the ledger. Keep to that order,
    or on PostgreSQL two writers can wait for each other: lock the rows that are still to change
    (`find_client(…, for_update=True)`) before asking for a number.
    Raises WriteTransactionRequired outside a writing transaction.
    """
    _writing(session)
    session.flush()
    _advisory_lock(session.connection(), _LEDGER_LOCK)


def lock_turn(session: Session, turn: Turn) -> None:
    """Make others who have this turn wait for this transaction; only for last words.

    Whatever changes anything has to pass here, so that it is held for as short as can be.
    """
    _advisory_lock(session.connection(), int(turn))


def say_last(session: Session, turn: Turn, words: LastWords, of: Any) -> None:
    """Have `words` called once everything else is written, before the commit: once a transaction,
    with the session and all that was given, in order.

    Raises WriteTransactionRequired outside a writing transaction.
    """
    _writing(session).say_last(turn, words, of)


def _writing(session: Session) -> _Transaction:
    options = session.connection().get_execution_options()
    if not (isinstance(session, _Transaction) and options.get(_WRITES)):
        raise WriteTransactionRequired("Use `with transaction(engine) as session:` for this.")
    return session


def head() -> str:
    """The revision of the schema that this program needs."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if revision is None:
        raise DatabaseNotMigrated(f"No migrations are found in {MIGRATIONS}; install again.")
    return revision


def current(engine: Engine) -> str | None:
    """The revision that the database is at, or None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_migrated(engine: Engine) -> None:
    """Raise DatabaseNotMigrated or DatabaseTooNew unless the schema is what this program needs."""
    found, needed = current(engine), head()
    if found == needed:
        return
    _refuse_newer(found)
    state = "empty" if found is None else f"at revision {found}"
    raise DatabaseNotMigrated(
        f"The database is {state}; this version needs {needed}. Run: handover db upgrade"
    )


def upgrade(url: str) -> str:
    """Bring the database up to `head()` in one transaction and return that revision.

    Two at once wait for each other. Raises DatabaseTooNew or ForeignKeysBroken.
    """
    engine = create_engine_for(url)
    if engine.dialect.name == "sqlite":
        # Altering a table on SQLite rebuilds it, which foreign keys would forbid meanwhile.
        event.listen(engine, "connect", _suspend_foreign_keys)
    try:
        with engine.execution_options(**{_WRITES: True}).begin() as connection:
            _advisory_lock(connection, _SCHEMA_LOCK)
            _upgrade(connection)
    finally:
        engine.dispose()
    return head()


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, made here instead of in an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    _refuse_newer(MigrationContext.configure(connection).get_current_revision())
    command.upgrade(alembic_config(connection), "head")
    if connection.dialect.name == "sqlite":
        faults = connection.exec_driver_sql(_FOREIGN_KEY_FAULTS).fetchall()
        if faults:
            tables = ", ".join(sorted({str(row[0]) for row in faults}))
            raise ForeignKeysBroken(
                f"Rows of {tables} refer to rows that do not exist. Nothing was changed; "
                "restore a backup of the database and upgrade that."
            )


def _refuse_newer(found: str | None) -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseTooNew(
            f"The database is at revision {found}, which this version does not know. "
            "Install the version that made it, or restore an older backup."
        )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUrlError(
            "The database URL cannot be read; use sqlite:///FILE or postgresql://HOST/NAME."
        ) from None
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"} and parsed.database not in {
        None,
        "",
        ":memory:",
    }:
        return parsed
    raise DatabaseUrlError(
        f"A database of kind {parsed.drivername} is not supported, nor is SQLite without a file; "
        "use sqlite:///FILE or postgresql://HOST/NAME."
    )


def _advisory_lock(connection: Connection, key: int) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _hide_details(context: ExceptionContext) -> None:
    """Keep the first line of PostgreSQL's message: the lines after it quote whole rows."""
    error = context.original_exception
    error.args = (str(error).partition("\n")[0],)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(error).__name__}) {error}",)


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # None: the driver begins nothing by itself, `_begin_sqlite` does.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if writes is False else 'OFF'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    # Part of BEGIN, so that a reader needs no statement more. None for writers: False would begin
    # them as READ WRITE, against the will of an administrator, or a provider, who has closed the
    # database to changes.
    reads = connection.get_execution_options().get(_WRITES) is False
    connection.connection.dbapi_connection.read_only = True if reads else None  # type: ignore[union-attr]


def _suspend_foreign_keys(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")
