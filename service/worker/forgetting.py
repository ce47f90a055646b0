"""The step that forgets a key's secret everywhere, once the key has reached its people."""

from models.base import utc_now
from models.database import transaction
from service.delivery.forgetting import receipts_of
from service.worker.work import FailureReference, Ticket, Work, reference
from stacks.failures import StackError


def forget(work: Work, ticket: Ticket) -> FailureReference | None:
    """Forget secrets in the stack with its backups and history, then in our own rows (PB-13)."""
    job = work.job(ticket)
    wanted = set(job.parameters.get("forget", []))
    if not wanted:
        return None
    generations = {key.generation for key in job.keys if key.id in wanted}
    try:
        work.step(ticket, "forget")
        work.services.areas.forget_secrets(job.area, generations, should_stop=work.stopper(ticket))
    except StackError as error:
        return reference(error)
    with transaction(work.services.database) as session:
        rows = work.rows(session, ticket)
        for key in rows.keys:
            if key.id in wanted:
                key.secret = None
        for receipt in receipts_of(session, sorted(wanted)):
            receipt.erased_at = utc_now()
    return None
