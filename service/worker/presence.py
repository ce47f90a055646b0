"""A worker's presence: its name, its signs of life, and that it ends itself once it is cut off.

Others may take its operations over `models.workers.DEAD_AFTER` seconds after its last sign of
life. So a worker that has not been able to give one for `LOST_SECONDS` while it works on AWS ends
its process at once: nothing else makes sure that it does not go on beside the other one.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Engine, Update, func, literal, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from models.base import UtcDateTime, utc_now
from models.database import transaction
from models.workers import (
    BEAT_SECONDS,
    SOLE_BEAT_SECONDS,
    WorkerRow,
    database_now,
    dead_before,
    live_workers,
)
from service.version import version
from service.worker.circuit import Circuit
from service.worker.locks import Locks, LocksLost

log = logging.getLogger(__name__)

LOST_SECONDS = 4.0
"""Two seconds less than others wait, so that this one has ended before they begin."""
LOST_EXIT = 75
"""Exit code of a worker cut off from its database: EX_TEMPFAIL of sysexits.h, start me again."""
NAME_PATIENCE = 10.0
"""How long a start waits for the session of a dead worker of the same name to go."""
_TICK, _TURN_PAUSE = 0.25, 0.1


class NameTaken(RuntimeError):
    """A worker of this name runs."""


class BackendDiffers(RuntimeError):
    """The workers of one database must share the place of the Pulumi state."""


class Presence:
    """Holds a worker's name while it lives. ``backend`` names the place of its Pulumi state."""

    def __init__(
        self, database: Engine, name: str, backend: str, locks: Locks, circuit: Circuit
    ) -> None:
        self.name = name
        self.locks = locks
        self._database = database
        self._backend = backend
        self._circuit = circuit
        self._draining = False
        self._held = threading.Event()
        self._ended = threading.Event()
        self._mutex = threading.Lock()
        self._turns = 0
        self._beaten = time.monotonic()
        self._told: tuple[datetime | None, datetime | None] = (None, None)
        self.clock: Callable[[], datetime | None] = _goes
        """Tells since when the timekeeper beside the worker stands, None while it goes."""
        self._threads = [threading.Thread(target=self._live, name="presence", daemon=True)]
        if not locks.lasting:
            self._threads.append(threading.Thread(target=self._watch, name="watchdog", daemon=True))

    @property
    def held(self) -> bool:
        """Tell whether the name is held: only then may work be taken."""
        return self._held.is_set()

    def hold(self) -> None:
        """Take the name and say that this worker lives.

        Raises `NameTaken`, `BackendDiffers` and `service.worker.locks.DatabaseInUse`.
        """
        try:
            self._take()
        except BaseException:
            self.locks.close()
            raise
        for thread in self._threads:
            thread.start()

    def drain(self) -> None:
        """Let everybody know that this worker takes nothing new."""
        self._draining = True
        self._try_to_beat()

    def release(self) -> None:
        """Say that this worker has ended and let its name go; nothing may be under way."""
        self._ended.set()
        try:
            self.locks.run(self._row().values(draining=True, stopped_at=self._moment()))
        except (LocksLost, SQLAlchemyError):
            log.warning("worker %s could not say that it has ended", self.name)
        self.locks.close()

    @contextmanager
    def turn(self, client_id: str, go_on: Callable[[], object]) -> Iterator[None]:
        """Work on a client alone: no two runs of one client touch AWS at once.

        While another one has its turn, ``go_on`` is called again and again; it ends the wait by
        raising.
        """
        while not self._begin_turn(client_id):
            go_on()
            time.sleep(_TURN_PAUSE)
        try:
            yield
        finally:
            self._end_turn(client_id)

    def check(self) -> None:
        """End the process when it is cut off; ask before each change, as a process may have been
        frozen for longer than others wait."""
        if not self.locks.lasting and time.monotonic() - self._beaten > LOST_SECONDS:
            self._lost("the database has not answered in time")

    def _take(self) -> None:
        begun = time.monotonic()
        self.locks.open()
        self._take_name()
        try:
            self._write_down()
        except SQLAlchemyError:
            # A SQLite service has to start on a disk that has become full: keys are to be cut.
            if not self.locks.lasting:
                raise
            log.warning("worker %s could not write that it lives", self.name)
        self._beaten = begun
        self._held.set()

    def _write_down(self) -> None:
        with transaction(self._database) as session:
            self._refuse_other_backend(session)
            now = database_now(session)
            if self.locks.lasting:
                _stop_others(session, self.name)
            session.merge(
                WorkerRow(
                    name=self.name,
                    version=version(),
                    host=socket.gethostname(),
                    process_id=os.getpid(),
                    backend=self._backend,
                    draining=self._draining,
                    circuit_open_since=self._circuit.open_since,
                    clock_stands_since=self.clock(),
                    started_at=now,
                    seen_at=now,
                    stopped_at=None,
                )
            )

    def _take_name(self) -> None:
        deadline, first = time.monotonic() + NAME_PATIENCE, None
        while not self.locks.try_name(self.name):
            with transaction(self._database, write=False) as session:
                row = session.get(WorkerRow, self.name)
                alive = row is not None and row.seen_at > dead_before(session)
            first = first or row
            seen_again = row is not None and first is not None and row.seen_at > first.seen_at
            if seen_again or time.monotonic() > deadline:
                where = f" on host {row.host}, process {row.process_id}" if row else ""
                raise NameTaken(
                    f"A worker named {self.name} runs already{where}. Stop it, or give this one "
                    "another name: --name, or HANDOVER_WORKER_NAME."
                )
            if not alive:
                # Its machine vanished, and the database has not noticed.
                self.locks.end_holder(self.name)
            time.sleep(_TICK)

    def _refuse_other_backend(self, session: Session) -> None:
        for worker in live_workers(session):
            if worker.name != self.name and worker.backend not in (None, self._backend):
                raise BackendDiffers(
                    f"Worker {worker.name} on host {worker.host} keeps the Pulumi state in "
                    f"{worker.backend}, this one in {self._backend}: each would not know what the "
                    "other made. Workers on several machines need HANDOVER_ENGINE=official and "
                    "the same s3:// address in HANDOVER_BACKEND_URL; the embedded engine works on "
                    "file:// only, for workers of one machine that share the folder."
                )

    def _live(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            if not self.held:
                self._come_back()
            elif self._beat_is_due():
                self._try_to_beat()

    def _beat_is_due(self) -> bool:
        if not self.locks.lasting or (self._circuit.open_since, self.clock()) != self._told:
            return True
        return time.monotonic() - self._beaten > SOLE_BEAT_SECONDS

    def _try_to_beat(self) -> None:
        begun, away, stands = time.monotonic(), self._circuit.open_since, self.clock()
        try:
            self.locks.run(
                self._row().values(
                    seen_at=self._moment(),
                    draining=self._draining,
                    circuit_open_since=away,
                    clock_stands_since=stands,
                )
            )
        except LocksLost as lost:
            self._lost(str(lost))
        except SQLAlchemyError:
            # SQLite: nobody waits for this worker's signs of life.
            log.warning("worker %s could not write that it lives", self.name)
        else:
            self._beaten, self._told = begun, (away, stands)

    def _come_back(self) -> None:
        try:
            self._take()
        except (LocksLost, SQLAlchemyError) as error:
            self.locks.close()
            log.warning("no database for worker %s: %s", self.name, _first_line(error))
        except (NameTaken, BackendDiffers) as error:
            self._end_process(str(error))
        else:
            log.info("worker %s is back", self.name)

    def _watch(self) -> None:
        while not self._ended.wait(_TICK):
            if self.held:
                self.check()

    def _lost(self, reason: str) -> None:
        with self._mutex:
            if self._ended.is_set() or not self._held.is_set():
                return
            if self._turns:
                self._end_process(f"cut off while it worked: {reason}")
            # Nothing is under way, so that this process may stay and wait for the database.
            self._held.clear()
        log.error("worker %s takes no work, the database is away: %s", self.name, reason)
        self.locks.sever()

    def _end_process(self, reason: str) -> None:
        log.critical(
            "worker %s ends itself, %s. Others take its operations over; start it again.",
            self.name,
            reason,
        )
        logging.shutdown()
        os._exit(LOST_EXIT)

    def _begin_turn(self, client_id: str) -> bool:
        with self._mutex:
            if not self._held.is_set():
                return False
            self._turns += 1
        got, lost = False, None
        try:
            got = self.locks.try_client(client_id)
        except LocksLost as error:
            lost = error
        if not got:
            with self._mutex:
                self._turns -= 1
        if lost is not None:
            self._lost(str(lost))
        return got

    def _end_turn(self, client_id: str) -> None:
        lost = None
        try:
            self.locks.free_client(client_id)
        except LocksLost as error:
            lost = error
        with self._mutex:
            self._turns -= 1
        if lost is not None:
            self._lost(str(lost))

    def _row(self) -> Update:
        return update(WorkerRow).where(col(WorkerRow.name) == self.name)

    def _moment(self) -> object:
        if self._database.dialect.name == "sqlite":
            return literal(utc_now(), UtcDateTime)
        return func.clock_timestamp()


def _goes() -> None:
    """Stand for the clock of a worker that has none beside it."""


def _stop_others(session: Session, name: str) -> None:
    """Note that the workers before this one are gone, as the file's lock proves."""
    gone = (col(WorkerRow.name) != name, col(WorkerRow.stopped_at).is_(None))
    session.connection().execute(update(WorkerRow).where(*gone).values(stopped_at=utc_now()))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
