"""The steps of repair: what drifted is put right, and a key that is gone gets a successor.

A key that AWS does not have any more is not made again under its generation: its record names the
old key id. Its row ends, and the next generation is made with a record of its own. One that AWS has
switched off stays off.
"""

from collections.abc import Sequence
from typing import Any

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.database import transaction
from service.rotation.endings import delete
from service.rotation.wishes import plan_next_key
from service.worker.changing import end_well, made, prove_new
from service.worker.work import FailureReference, Job, Rows, Ticket, Work, reference
from stacks.failures import StackError


def refresh(work: Work, ticket: Ticket) -> FailureReference | None:
    """Make the stack what AWS holds, and plan a successor for a key that is gone."""
    try:
        job = work.job(ticket)
        work.step(ticket, "refresh", done=0, total=job.total)
        drift = work.services.areas.refresh(
            job.area, work.progress(ticket, job.total), should_stop=work.stopper(ticket)
        )
        for item in drift:
            what = {"drift": item.kind, "type": item.type, "name": item.name}
            work.log(ticket, f"{item.type} {item.name} {item.kind}", **what)
        _tell_keys_off(work, job)
        # What the stack knows now is what AWS has.
        _plan(work, ticket, work.services.areas.key_ids(job.area))
    except StackError as error:
        return reference(error)
    return None


def repaired(work: Work, ticket: Ticket) -> FailureReference | None:
    """Wait until a new key works, then tell the world that the area is as the records say."""
    failure = prove_new(work, ticket)
    if failure is not None:
        return failure
    end_well(work, ticket, "client.repaired", _let_the_clock_go_on)
    return None


def _let_the_clock_go_on(rows: Rows) -> None:
    """Let the clock begin again what it had given up: what kept it from that may be mended."""
    for key in rows.keys:
        key.failed_tries = 0


def _tell_keys_off(work: Work, job: Job) -> None:
    """Tell of the keys that should work and are off in AWS: a repair does not know why.

    It may be because one has leaked, and the records were restored from before that.
    """
    off = work.services.areas.keys_off(job.area)
    wished = {key.generation for key in job.area.keys if key.active}
    for key in job.keys:
        if key.generation in off & wished:
            work.log(
                job.ticket,
                f"The key {key.access_key_id} is off in AWS and stays off. Rotate the client, or "
                "suspend and resume it, to give access back.",
                drift="off",
                access_key_id=key.access_key_id,
            )


def _plan(work: Work, ticket: Ticket, there: set[str]) -> None:
    with transaction(work.services.database) as session:
        operation, client, keys = work.rows(session, ticket)
        gone = [key for key in made(keys) if key.access_key_id not in there]
        # Kept in the operation, so that a retry still knows what has to be replaced.
        wanted = operation.parameters.get("replace", False) or any(map(_is_current, gone))
        for key in gone:
            delete(key, utc_now())
        parameters: dict[str, Any] = {**operation.parameters, "replace": wanted}
        if wanted and not _has_current(keys):
            parameters |= plan_next_key(session, client, keys)
        operation.parameters = parameters


def _is_current(key: AccessKey) -> bool:
    """Tell whether it is a key that the client is to use, and not one on its way out."""
    return key.status is AccessKeyStatus.active and key.turn_off_at is None


def _has_current(keys: Sequence[AccessKey]) -> bool:
    return any(map(_is_current, keys))
