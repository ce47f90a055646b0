"""The steps of open and reopen: make the area, prove its key, and take it all back on failure."""

import time
from typing import Any

from sqlmodel import Session, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.clients import Client, move_client
from models.database import transaction
from models.operations import OperationState, transition
from models.stack_outputs import StackOutput
from service.outgoing.ending import announce_end
from service.suspension.switching import enforce
from service.suspension.wishes import settled_state
from service.worker.endings import end_badly
from service.worker.patience import undo_patiently
from service.worker.work import (
    FailureReference,
    Job,
    Ticket,
    Work,
    failure_of,
    reference,
    tell_audit,
)
from stacks.access import KeyNotProven
from stacks.areas import OpenedArea
from stacks.client import CLIENTS_PROJECT
from stacks.events import OnProgress, ResourceProgress
from stacks.failures import StackError

PROOF_SLICE = 2.0
"""Seconds between looks at whether the client was suspended while its new key is tried."""


def make(work: Work, ticket: Ticket) -> FailureReference | None:
    """Make the area and write down its keys, sealed, with the record's number."""
    try:
        job = work.job(ticket)
        work.step(ticket, "make", done=0, total=job.total)
        opened = work.services.areas.open(
            job.area, work.progress(ticket, job.total), should_stop=work.stopper(ticket)
        )
        write_down(work, job, opened)
        # Suspended while the engine was at work: the key that it made must not work (RX-22).
        enforce(work.services, job.client.id)
    except StackError as error:
        return reference(error)
    return None


def hand_out(work: Work, ticket: Ticket) -> FailureReference | None:
    """Wait until each new key works, then tell the world that the area is open."""
    work.step(ticket, "prove")
    try:
        job = work.job(ticket)
        failure = prove(work, job)
        enforce(work.services, job.client.id)
    except StackError as error:
        return reference(error)
    if failure is None:
        _opened(work, ticket)
    return failure


def roll_back(work: Work, ticket: Ticket, failure: FailureReference) -> None:
    """Take away what a failed opening made and say so; share the teardown with closing.

    Of one that was cancelled with the wish to leave what there is, only the keys are cut.
    """
    work.step(ticket, "roll back")
    undone: list[str] = []

    def undo(work: Work, ticket: Ticket) -> FailureReference | None:
        try:
            job, areas = work.job(ticket), work.services.areas
            areas.key_off(job.area, job.known_key_ids())
            if not job.leave:
                areas.close(job.area, removals(undone), should_stop=work.never_stop)
        except StackError as error:
            return reference(error)
        return None

    seconds = work.services.settings.operation_deadline_seconds
    rest = undo_patiently(work, ticket, undo, seconds)
    end_badly(work, ticket, failure, undone=undone, rest=rest)


def prove(work: Work, job: Job) -> FailureReference | None:
    """Wait until each new key that is to work does, and note it; return why one does not."""
    wished = {key.generation for key in job.area.keys if key.active}
    for key in job.keys:
        if key.generation in wished and key.proven_at is None:
            try:
                failure = _prove_key(work, job, key)
            except StackError as error:
                return reference(error)
            if failure is not None:
                return failure
    return None


def _prove_key(work: Work, job: Job, key: AccessKey) -> FailureReference | None:
    """Wait until the key works; a client that is suspended meanwhile ends the wait well."""
    secret = key.open_secret(work.services.keyring)
    if key.access_key_id is None or secret is None:
        return failure_of("KeyMissing", f"Key generation {key.generation} was not written down.")
    deadline = time.monotonic() + work.services.settings.key_proof_seconds
    while True:
        left = min(PROOF_SLICE, max(0.0, deadline - time.monotonic()))
        try:
            work.services.areas.prove(job.area, key.access_key_id, secret, timeout=left)
        except KeyNotProven as error:
            if enforce(work.services, job.client.id):
                return None
            if not error.not_yet or time.monotonic() >= deadline:
                return reference(error)
        else:
            _note_proven(work, job, key.id)
            return None


def _note_proven(work: Work, job: Job, key_row_id: str) -> None:
    with transaction(work.services.database) as session:
        for key in work.rows(session, job.ticket).keys:
            if key.id == key_row_id and key.proven_at is None:
                key.proven_at = utc_now()


def write_down(work: Work, job: Job, opened: OpenedArea) -> None:
    """Write the keys, sealed, the stack's outputs, and the newest key's record if it has none."""
    services = work.services
    with transaction(services.database) as session:
        operation, client, keys = work.rows(session, job.ticket)
        issued = {key.generation: key for key in opened.keys}
        for key in keys:
            found = issued.get(key.generation)
            # Once: a secret that was forgotten since must not come back from the engine's state.
            if found is not None and key.access_key_id != found.access_key_id:
                key.access_key_id = found.access_key_id
                key.seal_secret(services.keyring, found.secret_access_key)
        _keep_outputs(session, client, opened.outputs)
        # A key that is planned and not made yet has no record.
        made = [key for key in keys if key.access_key_id is not None]
        active = [key for key in made if key.status is AccessKeyStatus.active]
        if not active:
            return
        record = services.records.create(session, operation, client, active[-1])
        if record not in session.new:
            return
        append_audit(
            session,
            AuditEntry(
                actor_id=operation.requested_by,
                action="record.created",
                object_type="record",
                object_id=record.id,
                client_id=client.id,
                data={"operation_id": operation.id, "access_key_id": active[-1].access_key_id},
            ),
        )


def _opened(work: Work, ticket: Ticket) -> None:
    work.journal.flush()
    with transaction(work.services.database) as session:
        operation, client, keys = work.rows(session, ticket)
        move_client(client, settled_state(client))
        operation.progress_done = operation.progress_total
        operation.step = "done"
        transition(operation, OperationState.succeeded)
        announce_end(session, operation, client)
        tell_audit(session, operation, client, "client.opened", keys)
    work.services.hub.publish(ticket.operation_id)


def removals(undone: list[str]) -> OnProgress:
    """Return a listener that notes in words what an engine has taken away."""

    def note(progress: ResourceProgress) -> None:
        if progress.phase == "done" and progress.operation == "delete":
            undone.append(f"{progress.short_type()} {progress.name}")

    return note


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
