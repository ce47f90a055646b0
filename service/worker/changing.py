"""What the steps that change an open area share: apply, enforce, take a new key back, end well."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.database import transaction
from models.operations import CancelMode, OperationState, transition
from service.machine import unfit
from service.outgoing.ending import announce_end
from service.rotation.endings import delete
from service.suspension.switching import enforce_or_leave, settle, target_of
from service.worker.endings import end_badly
from service.worker.opening import prove, removals, write_down
from service.worker.patience import undo_patiently
from service.worker.work import (
    UNFIT,
    FailureReference,
    Job,
    Rows,
    Ticket,
    Work,
    failure_of,
    reference,
    tell_audit,
)
from stacks.failures import StackError


def apply(work: Work, ticket: Ticket) -> FailureReference | None:
    """Make AWS what the rows wish, and write down keys, outputs and a new key's record.

    A suspension that was committed meanwhile is carried out once more (RX-22), and a cut that AWS
    holds and no record knows becomes one, before anybody can be told that the work is done.

    What was not refused at the door of a sick machine does all but make its key, and waits.
    """
    try:
        job = work.job(ticket)
        work.step(ticket, "apply", done=0, total=job.total)
        new = new_key(job)
        sick = (
            unfit(work.services.settings) if new is not None and _waits_with_key(job, new) else None
        )
        if new is None or sick is None:
            return bring_about(work, job)
        failure = bring_about(work, without(job, new.id))
        return failure or failure_of(UNFIT, f"The new key waits. {sick[1]}", transient=True)
    except StackError as error:
        return reference(error)


def bring_about(work: Work, job: Job) -> FailureReference | None:
    """Make AWS what the job's area says, as `apply` does; raises `StackError`."""
    areas = work.services.areas
    if lost := lost_keys(work, job):
        # An engine that does not know a key would make another one under the same record.
        listed = ", ".join(sorted(lost))
        sentence = f"The stack of {job.client.slug} does not know the key {listed}; repair it."
        return failure_of("StackBehind", sentence)
    try:
        opened = areas.open(
            job.area,
            work.progress(job.ticket, job.total),
            should_stop=work.stopper(job.ticket),
        )
    except StackError:
        # It may have made a key that works before it failed or was stopped.
        enforce_or_leave(work.services, job.client.id)
        raise
    write_down(work, job, opened)
    settle(work.services, job.client.id, look=True)
    return None


def prove_new(work: Work, ticket: Ticket) -> FailureReference | None:
    """Wait until the new key works; one of a suspended client is proven when it is resumed."""
    try:
        work.step(ticket, "prove")
        job = work.job(ticket)
        failure = prove(work, job)
        settle(work.services, job.client.id)
    except StackError as error:
        return reference(error)
    return failure


def take_back(work: Work, ticket: Ticket, failure: FailureReference) -> None:
    """Take a new key away that was not handed out, leave all others as they are, and say so.

    Of one that was cancelled with the wish to leave what there is, the new key is only cut. What
    was suspended meanwhile is cut once more, whatever became of the rest.
    """
    work.step(ticket, "take back")
    undone: list[str] = []

    def undo(work: Work, ticket: Ticket) -> FailureReference | None:
        try:
            new = _forget_new(work, ticket)
            job = work.job(ticket)
            if new is not None and job.leave:
                _leave_new(work, job, new)
                return None
            if new is not None and new.access_key_id is not None:
                target = target_of(job.client, list(job.keys))
                work.services.areas.switch.keys_off(target, [new.access_key_id])
            # A stack that lost a key made none, and would make another one for that.
            if new is not None and not lost_keys(work, job):
                work.services.areas.open(job.area, removals(undone), should_stop=work.never_stop)
        except StackError as error:
            return reference(error)
        return None

    rest = undo_patiently(work, ticket, undo, work.services.settings.operation_deadline_seconds)
    enforce_or_leave(work.services, work.client_of(ticket))
    end_badly(work, ticket, failure, undone=undone, rest=rest)


def cut_new_and_end(work: Work, ticket: Ticket, failure: FailureReference) -> None:
    """End a change that may not touch the stack: a new key is cut, and the next update takes it
    away.
    """
    rest = "Its stack was not touched, as another run still works on it."
    try:
        new = _forget_new(work, ticket)
        if new is not None:
            _leave_new(work, work.job(ticket), new)
    except StackError as error:
        rest = f"{rest} The key may work: {error.failure.detail}"
    enforce_or_leave(work.services, work.client_of(ticket))
    end_badly(work, ticket, failure, rest=rest)


def end_well(work: Work, ticket: Ticket, action: str, settle: Callable[[Rows], None]) -> None:
    """End the run with success, in one transaction with what `settle` does to the rows."""
    work.journal.flush()
    with transaction(work.services.database) as session:
        rows = work.rows(session, ticket)
        settle(rows)
        operation, client, keys = rows
        operation.progress_done = operation.progress_total
        operation.step = "done"
        transition(operation, OperationState.succeeded)
        announce_end(session, operation, client)
        tell_audit(session, operation, client, action, keys)
    work.services.hub.publish(ticket.operation_id)


def lost_keys(work: Work, job: Job) -> set[str]:
    """Return the ids of keys that our records know and the stack does not; raises `StackError`."""
    return {str(key.access_key_id) for key in made(job.keys)} - work.services.areas.key_ids(
        job.area
    )


def made(keys: Sequence[AccessKey], *, but: str = "") -> list[AccessKey]:
    """Return the keys that exist in AWS by our records, but for the row of this id."""
    return [
        key
        for key in keys
        if key.access_key_id is not None
        and key.status is not AccessKeyStatus.deleted
        and key.id != but
    ]


def without(job: Job, key_row_id: str) -> Job:
    """Return the job with an area that lacks the key of this row."""
    left = {key.generation for key in job.keys if key.id != key_row_id}
    keys = tuple(key for key in job.area.keys if key.generation in left)
    return replace(job, area=replace(job.area, keys=keys))


def new_key(job: Job) -> AccessKey | None:
    """Return the row of the key that the operation makes, if it makes one."""
    row_id = job.parameters.get("access_key_row_id")
    return next((key for key in job.keys if key.id == row_id), None)


def _waits_with_key(job: Job, new: AccessKey) -> bool:
    """Tell whether the key is not made yet, by a leaked key's rotation or a repair."""
    accepted_anyway = job.parameters.get("now") or "replace" in job.parameters
    return bool(accepted_anyway) and new.access_key_id is None


def _leave_new(work: Work, job: Job, new: AccessKey) -> None:
    """Cut the new key by direct calls, also one that AWS has made and no record knows yet."""
    switch, target = work.services.areas.switch, target_of(job.client, list(job.keys))
    held = {key.access_key_id for key in switch.look(target).keys}
    others = {key.access_key_id for key in made(job.keys, but=new.id)}
    known = {new.access_key_id} if new.access_key_id else set()
    switch.keys_off(target, sorted(held - others | known))


def _forget_new(work: Work, ticket: Ticket) -> AccessKey | None:
    """Wish that the operation's new key is gone, or is off where it is to be left; return its
    row.
    """
    with transaction(work.services.database) as session:
        operation, _, keys = work.rows(session, ticket)
        row_id = operation.parameters.get("access_key_row_id")
        new = next((key for key in keys if key.id == row_id), None)
        leave = operation.cancel_mode is CancelMode.leave
        if new is None or new.status is AccessKeyStatus.deleted:
            return new
        if leave and new.access_key_id is not None:
            new.status, new.ended_at = AccessKeyStatus.inactive, new.ended_at or utc_now()
        else:
            delete(new, utc_now())
        return new
