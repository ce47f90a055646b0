"""What keeps two workers apart: a worker's name, and a client that is being worked on.

On PostgreSQL they are session advisory locks on one connection of their own: they go when the
process or its connection goes, and nobody has to clean up. On SQLite, where one process works, a
lock on a file beside the database keeps a second one out.
"""

import contextlib
import fcntl
import hashlib
import os
import socket
import threading
from pathlib import Path
from typing import IO, Any, Protocol

from sqlalchemy import Connection, Engine, Executable, text
from sqlalchemy.exc import SQLAlchemyError

from models.database import transaction

_NAMES, _CLIENTS = 0x48616E65, 0x48616E66
"""The first of the two numbers of PostgreSQL's advisory locks: of which kind the second is."""

_SESSION: tuple[str, ...] = (
    # A server that answers late is as good as gone: the watchdog must not wait for it.
    "SET statement_timeout = '2s'",
    "SET idle_session_timeout = 0",
    # So that the server, too, notices soon that a machine has vanished, and lets its locks go.
    "SET tcp_keepalives_idle = 2",
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 3",
)
_TRY = text("SELECT pg_try_advisory_lock(:kind, :number)")
_FREE = text("SELECT pg_advisory_unlock(:kind, :number)")
_END_HOLDER = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = :kind AND objid = :number AND objsubid = 2 AND pid <> pg_backend_pid()"
)


class LocksLost(RuntimeError):
    """The connection that holds the locks is gone, and the locks with it."""


class DatabaseInUse(RuntimeError):
    """Another process works on the same SQLite database."""


class Locks(Protocol):
    """Locks of one worker. Its methods raise `LocksLost` when nothing is held any more."""

    lasting: bool
    """True where the locks can't be lost while the process lives."""

    def open(self) -> None:
        """Make ready to lock; raises `DatabaseInUse`, or `SQLAlchemyError` without a database."""

    def run(self, statement: Executable) -> None:
        """Run a statement where the locks are, so that it succeeds only while they are held."""

    def try_name(self, name: str) -> bool:
        """Lock a worker's name unless another process has it."""

    def free_name(self, name: str) -> None:
        """Let a name go."""

    def end_holder(self, name: str) -> None:
        """End the database session that still holds the name of a worker known to be dead."""

    def try_client(self, client_id: str) -> bool:
        """Lock a client unless somebody works on it."""

    def free_client(self, client_id: str) -> None:
        """Let a client go."""

    def sever(self) -> None:
        """Break the connection, from any thread, also one that waits for an answer."""

    def close(self) -> None:
        """Let all locks go."""


class SessionLocks:
    """Advisory locks of PostgreSQL on a connection of their own, for many threads."""

    lasting = False

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._connection: Connection | None = None
        self._clients: set[int] = set()

    def open(self) -> None:
        """Connect; see `Locks`."""
        connection = self._database.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Out of the pool: it lives as long as the worker does.
        connection.detach()
        for setting in _SESSION:
            connection.execute(text(setting))
        with self._mutex:
            self._connection = connection
            self._clients.clear()

    def run(self, statement: Executable) -> None:
        """Run a statement on the connection; see `Locks`."""
        with self._mutex:
            self._execute(statement)

    def try_name(self, name: str) -> bool:
        """Lock a worker's name; see `Locks`."""
        with self._mutex:
            return bool(self._execute(_TRY, _NAMES, _number(name)))

    def free_name(self, name: str) -> None:
        """Let a name go; see `Locks`."""
        with self._mutex:
            self._execute(_FREE, _NAMES, _number(name))

    def end_holder(self, name: str) -> None:
        """End the session that holds the name; see `Locks`."""
        with self._mutex:
            # pg_locks shows the second number without its sign.
            self._execute(_END_HOLDER, _NAMES, _number(name) % 2**32)

    def try_client(self, client_id: str) -> bool:
        """Lock a client; see `Locks`."""
        number = _number(client_id)
        with self._mutex:
            # The session could lock twice what it has already: its own threads are told apart here.
            if number in self._clients or not self._execute(_TRY, _CLIENTS, number):
                return False
            self._clients.add(number)
            return True

    def free_client(self, client_id: str) -> None:
        """Let a client go; see `Locks`."""
        number = _number(client_id)
        with self._mutex:
            self._clients.discard(number)
            self._execute(_FREE, _CLIENTS, number)

    def sever(self) -> None:
        """Break the connection; see `Locks`."""
        connection = self._connection
        if connection is None:
            return
        # Closing from here would be unsafe while another thread reads; a shutdown wakes it.
        with contextlib.suppress(OSError, SQLAlchemyError, AttributeError, ValueError):
            driver: Any = connection.connection.driver_connection
            with socket.socket(fileno=os.dup(driver.pgconn.socket)) as copy:
                copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Disconnect; see `Locks`."""
        with self._mutex:
            self._drop()

    def _execute(
        self, statement: Executable, kind: int | None = None, number: int | None = None
    ) -> Any:
        if self._connection is None:
            raise LocksLost("The connection that held the worker's locks is gone.")
        values = {} if kind is None else {"kind": kind, "number": number}
        try:
            result = self._connection.execute(statement, values)
            return result.scalar() if result.returns_rows else None
        except (SQLAlchemyError, OSError) as error:
            self._drop()
            reason = str(error).partition("\n")[0]
            raise LocksLost(f"The database ended the worker's locks: {reason}") from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):
                connection.invalidate()
                connection.close()


class FileLocks:
    """The one worker of a SQLite database: nobody else is there to be kept apart from."""

    lasting = True

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._file = Path(f"{database.url.database}.lock")
        self._stream: IO[str] | None = None
        self._mutex = threading.Lock()
        self._clients: set[str] = set()

    def open(self) -> None:
        """Lock the file beside the database; see `Locks`."""
        stream = self._file.open("w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            raise DatabaseInUse(
                f"Another process works on {self._database.url.database}. A SQLite database has "
                "one worker: stop the other one, or set HANDOVER_DATABASE_URL to PostgreSQL."
            ) from error
        self._stream = stream

    def run(self, statement: Executable) -> None:
        """Run a statement in a transaction; see `Locks`."""
        with transaction(self._database) as session:
            session.connection().execute(statement)

    def try_name(self, name: str) -> bool:  # noqa: ARG002 - the file's lock proves it
        """Return True; see `Locks`."""
        return True

    def free_name(self, name: str) -> None:
        """Do nothing; see `Locks`."""

    def end_holder(self, name: str) -> None:
        """Do nothing; see `Locks`."""

    def try_client(self, client_id: str) -> bool:
        """Lock a client; see `Locks`."""
        with self._mutex:
            if client_id in self._clients:
                return False
            self._clients.add(client_id)
            return True

    def free_client(self, client_id: str) -> None:
        """Let a client go; see `Locks`."""
        with self._mutex:
            self._clients.discard(client_id)

    def sever(self) -> None:
        """Do nothing; see `Locks`."""

    def close(self) -> None:
        """Let the file's lock go; see `Locks`."""
        if self._stream is not None:
            self._stream.close()


def locks_for(database: Engine) -> Locks:
    """Return the locks that fit the database."""
    return FileLocks(database) if database.dialect.name == "sqlite" else SessionLocks(database)


def _number(text: str) -> int:
    """Return a name as the signed 32-bit number that an advisory lock takes.

    Two names may share one: then their holders wait for each other, which harms nothing.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big", signed=True)
