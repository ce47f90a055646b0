"""The steps of open, reopen and close: each may die at any instant and run again.

A step takes an operation's id and returns None, or the reference of a failure; never a secret,
because what a step returns is stored by the durable engine. State lies in our own tables, and
what AWS holds is made equal to it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sqlmodel import Session, col, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.clients import Client, ClientState, move_client
from models.database import transaction
from models.operations import (
    EventKind,
    Failure,
    Operation,
    OperationKind,
    OperationState,
    begin_attempt,
    transition,
)
from models.stack_outputs import StackOutput
from service.areas_inputs import area_inputs
from service.context import Services
from service.worker.journal import Entry, Journal
from stacks.areas import OpenedArea
from stacks.client import CLIENTS_PROJECT, AreaInputs
from stacks.events import OnProgress, ResourceProgress
from stacks.failures import StackError

log = logging.getLogger(__name__)

_RESOURCES_BESIDE_KEYS = 4
"""Placeholder, user, membership and policy: what each area has beside its keys."""


class FailureReference(TypedDict):
    """A failure as the durable engine may store it: codes and sentences, no secret."""

    code: str
    detail: str


@dataclass(frozen=True)
class Job:
    """What a step works on, read at its start."""

    operation_id: str
    client: Client
    keys: Sequence[AccessKey]
    area: AreaInputs

    def known_key_ids(self) -> list[str]:
        """Return the ids of the keys that our records know."""
        return [key.access_key_id for key in self.keys if key.access_key_id]


class Steps:
    """The steps, with the parts of the service that they need."""

    def __init__(self, services: Services, journal: Journal) -> None:
        self._services = services
        self._journal = journal

    def begin(self, operation_id: str) -> OperationKind:
        """Take the operation up and return its kind; a repeated start counts one more attempt."""
        with transaction(self._services.database) as session:
            operation = session.get_one(Operation, operation_id)
            if operation.finished_at is None:
                begin_attempt(operation)
        self._services.hub.publish(operation_id)
        return operation.kind

    def make(self, operation_id: str) -> FailureReference | None:
        """Make the area and write down its keys, sealed, with the record's number."""
        job = self._job(operation_id)
        total = _RESOURCES_BESIDE_KEYS + len(job.area.keys)
        self._step(operation_id, "make", done=0, total=total)
        try:
            opened = self._services.areas.open(job.area, self._progress(operation_id, total))
        except StackError as error:
            return _reference(error)
        self._write_down(job, opened)
        return None

    def hand_out(self, operation_id: str) -> FailureReference | None:
        """Wait until each new key works, then tell the world that the area is open."""
        job = self._job(operation_id)
        self._step(operation_id, "prove")
        failure = self._prove(job)
        if failure is None:
            self._opened(operation_id)
        return failure

    def _prove(self, job: Job) -> FailureReference | None:
        patience = self._services.settings.key_proof_seconds
        for key in job.keys:
            if key.status is not AccessKeyStatus.active or key.proven_at is not None:
                continue
            secret = key.open_secret(self._services.keyring)
            if key.access_key_id is None or secret is None:
                sentence = f"Key generation {key.generation} was not written down."
                return FailureReference(code="KeyMissing", detail=sentence)
            try:
                self._services.areas.prove(job.area, key.access_key_id, secret, timeout=patience)
            except StackError as error:
                return _reference(error)
        return None

    def _opened(self, operation_id: str) -> None:
        self._journal.flush()
        with transaction(self._services.database) as session:
            operation, client, keys = _rows(session, operation_id)
            if operation.finished_at is not None:
                return
            now = utc_now()
            for key in keys:
                if key.status is AccessKeyStatus.active and key.proven_at is None:
                    key.proven_at = now
            move_client(client, ClientState.open)
            operation.progress_done = operation.progress_total
            operation.step = "done"
            transition(operation, OperationState.succeeded)
            _audit(session, operation, client, "client.opened", keys)
        self._services.hub.publish(operation_id)

    def roll_back(self, operation_id: str, failure: FailureReference) -> None:
        """Take away what a failed opening made and say so; share the teardown with closing."""
        job = self._job(operation_id)
        self._step(operation_id, "roll back")
        undone: list[str] = []
        rest: str | None = None
        try:
            self._services.areas.key_off(job.area, job.known_key_ids())
            self._services.areas.close(job.area, _removals(undone))
        except StackError as error:
            log.warning("rollback of %s failed: %s", operation_id, error.failure.code)
            rest = error.failure.detail
        self._journal.flush()
        self._failed(operation_id, failure, undone, rest)

    def key_off(self, operation_id: str) -> FailureReference | None:
        """Cut every key of the area by direct calls, before anything else (RX-22)."""
        job = self._job(operation_id)
        self._step(operation_id, "key off", done=0, total=len(job.keys) + _RESOURCES_BESIDE_KEYS)
        try:
            off = self._services.areas.key_off(job.area, job.known_key_ids())
        except StackError as error:
            return _reference(error)
        with transaction(self._services.database) as session:
            operation, client, keys = _rows(session, operation_id)
            for key in keys:
                if key.status is AccessKeyStatus.active:
                    key.status = AccessKeyStatus.inactive
                    key.ended_at = utc_now()
            _audit(session, operation, client, "client.keys_off", keys)
        data = {"message": "keys are off", "access_key_ids": list(off.access_key_ids)}
        self._journal.write(Entry(operation_id, EventKind.log, data))
        return None

    def tear_down(self, operation_id: str) -> FailureReference | None:
        """Take the whole area away; the client's objects stay."""
        job = self._job(operation_id)
        total = len(job.area.keys) + _RESOURCES_BESIDE_KEYS
        self._step(operation_id, "tear down", done=0, total=total)
        try:
            self._services.areas.close(job.area, self._progress(operation_id, total))
        except StackError as error:
            return _reference(error)
        self._journal.flush()
        return None

    def closed(self, operation_id: str) -> FailureReference | None:
        """Count what still lies there and tell the world that the area is closed."""
        job = self._job(operation_id)
        try:
            remaining = self._services.areas.remaining(job.area)
        except StackError as error:
            return _reference(error)
        self._journal.flush()
        with transaction(self._services.database) as session:
            operation, client, keys = _rows(session, operation_id)
            if operation.finished_at is not None:
                return None
            client.remaining_objects = remaining.objects
            client.remaining_bytes = remaining.bytes
            client.remaining_counted_at = utc_now()
            _erase(session, client, keys)
            move_client(client, ClientState.closed)
            operation.progress_done = operation.progress_total
            operation.step = "done"
            transition(operation, OperationState.succeeded)
            _audit(session, operation, client, "client.closed", keys)
        self._services.hub.publish(operation_id)
        return None

    def broken(self, operation_id: str) -> None:
        """End an operation that broke on a fault of our own, or that was given up.

        An opening is rolled back; a closing stays where it is, with its keys off. What has ended
        meanwhile is left alone.
        """
        with transaction(self._services.database, write=False) as session:
            operation = session.get_one(Operation, operation_id)
        if operation.finished_at is not None:
            return
        sentence = "The service failed within; its log has the details under the operation's id."
        failure = FailureReference(code="InternalError", detail=sentence)
        if operation.kind is OperationKind.close:
            self.fail_closing(operation_id, failure)
        else:
            self.roll_back(operation_id, failure)

    def fail_closing(self, operation_id: str, failure: FailureReference) -> None:
        """Record that a closing failed; nothing of it is undone, as the keys must stay off."""
        self._journal.flush()
        self._failed(operation_id, failure, [], rest=None)

    def _job(self, operation_id: str) -> Job:
        services = self._services
        with transaction(services.database, write=False) as session:
            _, client, keys = _rows(session, operation_id)
            area = area_inputs(services.settings, services.areas.account(), client, keys)
            return Job(operation_id, client, keys, area)

    def _write_down(self, job: Job, opened: OpenedArea) -> None:
        services = self._services
        with transaction(services.database) as session:
            operation, client, keys = _rows(session, job.operation_id)
            issued = {key.generation: key for key in opened.keys}
            for key in keys:
                if found := issued.get(key.generation):
                    key.access_key_id = found.access_key_id
                    key.seal_secret(services.keyring, found.secret_access_key)
            _keep_outputs(session, client, opened.outputs)
            newest = max(
                (key for key in keys if key.status is AccessKeyStatus.active),
                key=lambda key: key.generation,
            )
            record = services.records.create(session, operation, client, newest)
            append_audit(
                session,
                AuditEntry(
                    actor_id=operation.requested_by,
                    action="record.created",
                    object_type="record",
                    object_id=record.id,
                    client_id=client.id,
                    data={"operation_id": operation.id, "access_key_id": newest.access_key_id},
                ),
            )

    def _failed(
        self, operation_id: str, failure: FailureReference, undone: list[str], rest: str | None
    ) -> None:
        with transaction(self._services.database) as session:
            operation, client, keys = _rows(session, operation_id)
            if operation.finished_at is not None:
                return
            if rest is None and client.state is ClientState.opening:
                _erase(session, client, keys)
            move_client(client, ClientState.failed)
            told = Failure(
                code=failure["code"],
                detail=failure["detail"],
                next_step=_next_step(operation, client, rest),
                rolled_back=undone,
            )
            transition(operation, OperationState.failed, failure=told)
            _audit(session, operation, client, f"client.{operation.kind.value}_failed", keys)
        self._services.hub.publish(operation_id)

    def _step(
        self, operation_id: str, name: str, done: int | None = None, total: int | None = None
    ) -> None:
        entry = Entry(operation_id, EventKind.step, {"step": name}, done=done, total=total)
        self._journal.write(entry)

    def _progress(self, operation_id: str, total: int) -> OnProgress:
        done: set[str] = set()

        def tell(progress: ResourceProgress) -> None:
            if progress.phase == "done":
                done.add(progress.urn)
            data: dict[str, Any] = {
                "phase": progress.phase,
                "operation": progress.operation,
                "type": progress.short_type(),
                "name": progress.name,
            }
            count = min(len(done), total)
            self._journal.write(Entry(operation_id, EventKind.resource, data, done=count))

        return tell


def _reference(error: StackError) -> FailureReference:
    return FailureReference(code=error.failure.code, detail=error.failure.detail)


def _removals(undone: list[str]) -> OnProgress:
    def note(progress: ResourceProgress) -> None:
        if progress.phase == "done" and progress.operation == "delete":
            undone.append(f"{progress.short_type()} {progress.name}")

    return note


def _rows(session: Session, operation_id: str) -> tuple[Operation, Client, list[AccessKey]]:
    operation = session.get_one(Operation, operation_id)
    client = session.get_one(Client, operation.client_id)
    query = select(AccessKey).where(AccessKey.client_id == client.id)
    keys = list(session.exec(query.order_by(col(AccessKey.generation))).all())
    return operation, client, keys


def _erase(session: Session, client: Client, keys: Sequence[AccessKey]) -> None:
    """Mark the keys as deleted and forget their secrets and the stack's outputs."""
    for key in keys:
        if key.status is not AccessKeyStatus.deleted:
            key.status = AccessKeyStatus.deleted
            key.ended_at = key.ended_at or utc_now()
        key.secret = None
    outputs = session.exec(select(StackOutput).where(StackOutput.client_id == client.id))
    for output in outputs.all():
        session.delete(output)


def _keep_outputs(session: Session, client: Client, outputs: Any) -> None:
    mine = session.exec(select(StackOutput).where(StackOutput.client_id == client.id)).all()
    kept = {output.name: output for output in mine}
    for name, value in outputs.items():
        row = kept.get(name) or StackOutput(
            client_id=client.id, project=CLIENTS_PROJECT, stack=client.slug, name=name
        )
        row.value = value
        row.recorded_at = utc_now()
        session.add(row)


def _audit(
    session: Session, operation: Operation, client: Client, action: str, keys: Sequence[AccessKey]
) -> None:
    ids = [key.access_key_id for key in keys if key.access_key_id]
    append_audit(
        session,
        AuditEntry(
            actor_id=operation.requested_by,
            action=action,
            object_type="client",
            object_id=client.id,
            client_id=client.id,
            data={"operation_id": operation.id, "access_key_ids": ids},
        ),
    )


def _next_step(operation: Operation, client: Client, rest: str | None) -> str:
    if rest is not None:
        return (
            f"What was made for {client.slug} could not all be removed: {rest} Its keys may be "
            "left; close the client (DELETE) as soon as AWS answers again."
        )
    if operation.kind.value == "close":
        return f"Send DELETE for {client.slug} again; what is gone already stays gone."
    return "Nothing is left of it in AWS. Mend the cause and send the same request again."
