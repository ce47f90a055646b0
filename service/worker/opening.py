"""The steps of open and reopen: make the area, prove its key, and take it all back on failure."""

from typing import Any

from sqlmodel import Session, select

from models.access_keys import AccessKeyStatus
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.clients import Client, ClientState, move_client
from models.database import transaction
from models.operations import OperationState, transition
from models.stack_outputs import StackOutput
from service.worker.endings import end_badly
from service.worker.patience import undo_patiently
from service.worker.work import (
    FailureReference,
    Job,
    Rows,
    Ticket,
    Work,
    failure_of,
    reference,
    tell_audit,
)
from stacks.areas import OpenedArea
from stacks.client import CLIENTS_PROJECT
from stacks.events import OnProgress, ResourceProgress
from stacks.failures import StackError


def make(work: Work, ticket: Ticket) -> FailureReference | None:
    """Make the area and write down its keys, sealed, with the record's number."""
    try:
        job = work.job(ticket)
        work.step(ticket, "make", done=0, total=job.total)
        opened = work.services.areas.open(job.area, work.progress(ticket, job.total))
    except StackError as error:
        return reference(error)
    write_down(work, job, opened)
    return None


def hand_out(work: Work, ticket: Ticket) -> FailureReference | None:
    """Wait until each new key works, then tell the world that the area is open."""
    work.step(ticket, "prove")
    try:
        failure = prove(work, work.job(ticket))
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
            job = work.job(ticket)
            work.services.areas.key_off(job.area, job.known_key_ids())
            if not job.leave:
                work.services.areas.close(job.area, _removals(undone))
        except StackError as error:
            return reference(error)
        return None

    seconds = work.services.settings.operation_deadline_seconds
    rest = undo_patiently(work, ticket, undo, seconds)
    end_badly(work, ticket, failure, undone=undone, rest=rest)


def prove(work: Work, job: Job) -> FailureReference | None:
    """Wait until each new key that is to work does; return why one does not."""
    patience = work.services.settings.key_proof_seconds
    wished = {key.generation for key in job.area.keys if key.active}
    for key in job.keys:
        if key.generation not in wished or key.proven_at is not None:
            continue
        secret = key.open_secret(work.services.keyring)
        if key.access_key_id is None or secret is None:
            sentence = f"Key generation {key.generation} was not written down."
            return failure_of("KeyMissing", sentence)
        try:
            work.services.areas.prove(job.area, key.access_key_id, secret, timeout=patience)
        except StackError as error:
            return reference(error)
    return None


def note_proven(rows: Rows) -> None:
    """Note in the rows that the keys that are to work were seen to work."""
    for key in rows.keys:
        if key.status is AccessKeyStatus.active and key.proven_at is None:
            key.proven_at = utc_now()


def write_down(work: Work, job: Job, opened: OpenedArea) -> None:
    """Write the keys, sealed, the stack's outputs and the newest key's record."""
    services = work.services
    with transaction(services.database) as session:
        operation, client, keys = work.rows(session, job.ticket)
        issued = {key.generation: key for key in opened.keys}
        for key in keys:
            if found := issued.get(key.generation):
                key.access_key_id = found.access_key_id
                if found.secret_access_key:
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


def _opened(work: Work, ticket: Ticket) -> None:
    work.journal.flush()
    with transaction(work.services.database) as session:
        rows = work.rows(session, ticket)
        operation, client, keys = rows
        note_proven(rows)
        move_client(client, ClientState.open)
        operation.progress_done = operation.progress_total
        operation.step = "done"
        transition(operation, OperationState.succeeded)
        tell_audit(session, operation, client, "client.opened", keys)
    work.services.hub.publish(ticket.operation_id)


def _removals(undone: list[str]) -> OnProgress:
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
