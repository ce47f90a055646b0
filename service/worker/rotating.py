"""The steps of rotate: room for a second key, the key made and proven, then both in their overlap.

A rotation that fails leaves the old keys as they were. With `now` they were turned off when it was
asked for, and stay so.
"""

from datetime import timedelta

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.database import transaction
from service.rotation.endings import DELETION_DELAY, delete
from service.suspension.switching import target_of
from service.worker.changing import bring_about, end_well, made, new_key, prove_new, without
from service.worker.work import FailureReference, Rows, Ticket, Work, reference
from stacks.failures import StackError

KEYS_A_USER = 2
"""How many access keys AWS allows a user."""


def make_room(work: Work, ticket: Ticket) -> FailureReference | None:
    """Cut what is to be off, and delete the oldest key where AWS would allow no further one."""
    try:
        job = work.job(ticket)
        work.step(ticket, "make room", done=0, total=job.total)
        new = new_key(job)
        if new is None or new.access_key_id is not None:
            return None
        target = target_of(job.client, list(job.keys))
        off = [key for key in made(job.keys) if key.status is AccessKeyStatus.inactive]
        switch = work.services.areas.switch
        held = switch.keys_off(target, [str(key.access_key_id) for key in off])
        if len(held.keys) < KEYS_A_USER:
            return None
        _give_up_oldest(work, ticket)
        return bring_about(work, without(work.job(ticket), new.id))
    except StackError as error:
        return reference(error)


def hand_over(work: Work, ticket: Ticket) -> FailureReference | None:
    """Wait until the new key works, then begin the overlap: the old keys get their last day."""
    failure = prove_new(work, ticket)
    if failure is not None:
        return failure
    end_well(work, ticket, "client.rotated", _begin_overlap)
    return None


def _give_up_oldest(work: Work, ticket: Ticket) -> None:
    """Wish that all but one of the keys are gone: those that are off before the others."""
    with transaction(work.services.database) as session:
        operation, _, keys = work.rows(session, ticket)
        old = made(keys, but=str(operation.parameters.get("access_key_row_id")))
        old.sort(key=_usefulness)
        for key in old[: 1 - KEYS_A_USER]:
            delete(key, utc_now())


def _usefulness(key: AccessKey) -> tuple[bool, int]:
    return key.status is AccessKeyStatus.active, key.generation


def _begin_overlap(rows: Rows) -> None:
    parameters = rows.operation.parameters
    ends = utc_now() + timedelta(days=parameters["overlap_days"])
    for key in made(rows.keys, but=parameters["access_key_row_id"]):
        if key.status is AccessKeyStatus.active:
            key.turn_off_at, key.delete_at = ends, ends + DELETION_DELAY
        else:
            key.delete_at = key.delete_at or utc_now() + DELETION_DELAY
