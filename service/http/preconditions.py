"""Changes to a client that hold only for the state in which the caller has seen it (RFC 9110,
section 13)."""

from sqlmodel import Session

from models.clients import Client
from service import problems
from service.http.dependencies import Caller
from service.http.negotiation import matches
from service.http.reading import client_document, client_within_reach
from service.problems import Problem


def client_for_change(
    session: Session, caller: Caller, slug: str, if_match: str | None, *, required: bool = False
) -> Client:
    """Return the client, its row held until the transaction ends.

    Raises 404 for one out of reach, 412 when it is not as `If-Match` says, and 428 (RFC 6585)
    without that header where it is `required`.
    """
    client = client_within_reach(session, caller, slug, for_update=True)
    if if_match is None and required:
        raise Problem(problems.PRECONDITION_REQUIRED, "The header If-Match is missing.")
    if if_match is not None and if_match.strip() != "*":
        etag = client_document(session, client).etag
        if not matches(if_match, etag):
            detail = f"The client {client.slug} is not as it was when it was read."
            raise Problem(problems.PRECONDITION_FAILED, detail, headers={"ETag": etag})
    return client
