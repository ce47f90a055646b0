"""Showing a record's code to the operator, once."""

from sqlmodel import Session

from models.base import utc_now
from models.clients import Client
from models.records import Record
from models.sealing import Keyring
from service import problems
from service.delivery.words import new_code
from service.intents import audit, links_of
from service.problems import Problem
from service.records import RecordGone, RecordNotReady, RecordOffice
from service.wishes import Requester


def show_code(
    session: Session, keyring: Keyring, client: Client, requester: Requester, *, renew: bool
) -> tuple[Record, str]:
    """Return the newest record and its code, once; with ``renew`` a new one is made first.

    The caller holds the client's row. Raises the Problems `record-not-ready`, `record-gone`,
    `code-not-used` and `code-shown`.
    """
    record = _record(session, client)
    if record.code is None:
        raise Problem(
            problems.CODE_NOT_USED,
            f"{record.number} version {record.version} opens by the signer's name alone.",
        )
    if record.code_shown_at is not None and not renew:
        shown = record.code_shown_at.isoformat(timespec="seconds")
        raise Problem(problems.CODE_SHOWN, f"The code of {record.number} was shown on {shown}.")
    if renew:
        record.code = keyring.seal(new_code(), aad=record.code_associated_data)
    record.code_shown_at = utc_now()
    code = keyring.open(record.code, aad=record.code_associated_data)
    data = {"record": record.number, "version": record.version, "renewed": renew}
    audit(session, requester, "record.code_shown", client, data)
    return record, code


def _record(session: Session, client: Client) -> Record:
    members = {"links": links_of(client)}
    try:
        return RecordOffice.newest_record(session, client)
    except RecordNotReady as error:
        raise Problem(problems.RECORD_NOT_READY, str(error), members=members) from None
    except RecordGone as error:
        raise Problem(problems.RECORD_GONE, str(error), members=members) from None
