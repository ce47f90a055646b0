"""The checkpoint while an update runs: every act is recorded before and after it happens.

Writers that come together share one write: a thread always writes the newest snapshot, and whoever
waits is woken once a snapshot that holds its change is on disk. The intent to act is awaited. An
outcome is written at most a few milliseconds later: the intent that usually follows it, and cannot
go ahead of it, then shares its write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from engine.state import PendingOperation, ResourceState, Snapshot

_LINGER_SECONDS = 0.005


class SnapshotManager:
    """Merges what an update did into what was recorded before it.

    ``write`` makes a snapshot durable; it is called from one thread at a time.
    """

    def __init__(
        self,
        base: Snapshot,
        retained: Iterable[PendingOperation],
        write: Callable[[Snapshot], None],
    ) -> None:
        """``retained`` are pending operations of earlier updates that stay pending."""
        self._write = write
        self._metadata = base.metadata
        self._base: dict[ResourceState, ResourceState] = {state: state for state in base.resources}
        self._new: dict[str, ResourceState] = {}
        self._renamed: dict[str, str] = {}
        self._pending: dict[PendingOperation, None] = dict.fromkeys(retained)
        self._condition = threading.Condition()
        self._version = 0
        self._durable = 0
        self._urgent = False
        self._closing = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def begin(self, type_: str, state: ResourceState) -> PendingOperation:
        """Record the intent to act on a resource; returns once it is durable."""
        operation = PendingOperation(type_, state)
        with self._condition:
            self._pending[operation] = None
            self._write_and_wait()
        return operation

    def end(
        self,
        operation: PendingOperation,
        *,
        new: ResourceState | None = None,
        old: ResourceState | None = None,
        old_becomes: ResourceState | None = None,
    ) -> None:
        """Record the outcome of an act; see ``place``. The write begins soon, and is not awaited:
        the next intent, or the end of the update, waits for it.
        """
        with self._condition:
            self._pending.pop(operation, None)
            self._place(new, old, old_becomes)
            self._schedule()

    def place(
        self,
        new: ResourceState | None,
        old: ResourceState | None,
        old_becomes: ResourceState | None = None,
    ) -> None:
        """Record a change that no act belongs to; written with the next act, or at the end.

        ``new`` is the resource as it is now, ``old`` the state it had, which goes, or stays on as
        ``old_becomes``.
        """
        with self._condition:
            self._place(new, old, old_becomes)

    def renamed(self, old_urn: str, new_urn: str) -> None:
        """Let what still refers to a resource by its old name find it by the new one."""
        with self._condition:
            self._renamed[old_urn] = new_urn

    def current(self) -> Snapshot:
        """The stack as recorded at this moment."""
        with self._condition:
            return self._snapshot()

    def close(self) -> None:
        """Write the last snapshot and end the writer; raises what a write raised."""
        with self._condition:
            try:
                self._write_and_wait()
            finally:
                self._closing = True
                self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _place(
        self,
        new: ResourceState | None,
        old: ResourceState | None,
        old_becomes: ResourceState | None,
    ) -> None:
        if old is not None and old in self._base:
            if old_becomes is None:
                del self._base[old]
            else:
                self._base[old] = old_becomes
        if new is not None:
            self._new[new.urn] = new

    def _write_and_wait(self) -> None:
        self._urgent = True
        self._schedule()
        version = self._version
        while self._durable < version and self._error is None:
            self._condition.wait()
        if self._error is not None:
            raise self._error

    def _schedule(self) -> None:
        self._version += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
            self._thread.start()
        self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._durable == self._version and not self._closing:
                    self._condition.wait()
                if self._durable == self._version or self._error is not None:
                    return
                self._condition.wait_for(lambda: self._urgent, _LINGER_SECONDS)
                self._urgent = False
                version, snapshot = self._version, self._snapshot()
            self._write_one(version, snapshot)

    def _write_one(self, version: int, snapshot: Snapshot) -> None:
        error: BaseException | None = None
        try:
            self._write(snapshot)
        except BaseException as caught:  # noqa: BLE001 - handed to those who wait for the write
            error = caught
        with self._condition:
            if error is None:
                self._durable = version
            else:
                self._error = error
            self._condition.notify_all()

    def _snapshot(self) -> Snapshot:
        rest = (self._with_new_names(state) for state in self._base.values())
        return Snapshot((*self._new.values(), *rest), tuple(self._pending), metadata=self._metadata)

    def _with_new_names(self, state: ResourceState) -> ResourceState:
        names = self._renamed
        if not names or not state.references() & names.keys():
            return state
        provider_urn, separator, provider_id = state.provider.rpartition("::")
        return state.changed(
            parent=names.get(state.parent, state.parent),
            provider=f"{names.get(provider_urn, provider_urn)}{separator}{provider_id}",
            dependencies=tuple(names.get(urn, urn) for urn in state.dependencies),
            property_dependencies={
                key: tuple(names.get(urn, urn) for urn in urns)
                for key, urns in state.property_dependencies.items()
            },
        )
