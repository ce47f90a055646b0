"""`/v1/clients/{slug}/suspend`, `/resume` and `/v1/keys/{id}/suspend`: access cut and given back.

They act in this process, by direct calls and in threads of their own: they wait for no worker,
queue, engine, stack lock or other request.
Suspending needs `clients:close`, the right to end access; resuming gives access and needs
`clients:write`, the right to open.
"""

from collections.abc import Callable
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from sqlmodel import Session, select

from models.access_keys import AccessKey
from models.clients import Client
from models.database import transaction
from service import problems
from service.context import Services
from service.http.dependencies import Caller, Closer, ServicesDep, Writer
from service.http.documents import AccessDocument, HeldKeyDocument
from service.http.openapi import documented
from service.http.parameters import Reason, Slug
from service.http.reading import client_within_reach, suspended_document
from service.http.threads import Urgent, threads_of
from service.intents import links_of
from service.problems import Problem
from service.suspension.switching import Confirmation, carry_out
from service.suspension.wishes import resume, suspend
from stacks.failures import StackError

router = APIRouter(prefix="/v1", tags=["access"], route_class=Urgent)

UNSTATED = "No reason was given"
_CUTS = (problems.NOT_FOUND, problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER)
_UNCONFIRMED = problems.ACCESS_UNCONFIRMED

KeyId = Annotated[str, Path(description="The access key's id.", examples=["AKIAIOSFODNN7EXAMPLE"])]
Choose = Callable[[Session], Client]


@router.post(
    "/clients/{slug}/suspend",
    summary="Suspend a client",
    responses=documented(*_CUTS, _UNCONFIRMED),
)
async def suspend_client(
    slug: Slug,
    request: Request,
    services: ServicesDep,
    caller: Closer,
    reason: Reason = UNSTATED,
) -> AccessDocument:
    """Cut all access of the client now, whatever else is under way; answer with AWS's own words.

    The wish is committed first. Nothing switches a key on again but `resume`.
    """

    def choose(session: Session) -> Client:
        return client_within_reach(session, caller, slug, for_update=True)

    return await _suspend(request, services, caller, choose, reason)


@router.post(
    "/keys/{access_key_id}/suspend",
    summary="Suspend the holder of a key",
    responses=documented(*_CUTS, _UNCONFIRMED),
)
async def suspend_key(
    access_key_id: KeyId,
    request: Request,
    services: ServicesDep,
    caller: Closer,
    reason: Reason = UNSTATED,
) -> AccessDocument:
    """Cut all access of the client that has or had this key: a leak report names a key only."""

    def choose(session: Session) -> Client:
        return _holder(session, caller, access_key_id)

    return await _suspend(request, services, caller, choose, reason)


@router.post(
    "/clients/{slug}/resume",
    summary="Resume a client",
    responses=documented(
        *_CUTS,
        _UNCONFIRMED,
        problems.CLIENT_NOT_SUSPENDED,
        problems.CLIENT_CLOSED,
        problems.CONTRACT_ENDED,
        problems.VALIDITY_ENDED,
        problems.OPERATION_IN_PROGRESS,
    ),
)
async def resume_client(
    slug: Slug, reason: Reason, request: Request, services: ServicesDep, caller: Writer
) -> AccessDocument:
    """Give the client's access back: the keys that are wished active work again."""

    def wish() -> str:
        with transaction(services.database) as session:
            client = client_within_reach(session, caller, slug, for_update=True)
            resume(session, client, reason, caller.requester, services.today())
            return client.id

    threads = threads_of(request)
    client_id = await run_sync(wish, limiter=threads.wishes)
    return await run_sync(_carried_out, services, client_id, limiter=threads.lifts)


async def _suspend(
    request: Request, services: Services, caller: Caller, choose: Choose, reason: str
) -> AccessDocument:
    threads = threads_of(request)

    def wish() -> str:
        with transaction(services.database) as session:
            client = choose(session)
            suspend(session, client, reason, caller.requester)
            return client.id

    client_id = await run_sync(wish, limiter=threads.wishes)
    return await run_sync(_carried_out, services, client_id, limiter=threads.cuts)


def _holder(session: Session, caller: Caller, access_key_id: str) -> Client:
    plausible = access_key_id.isascii() and access_key_id.isalnum()
    query = select(Client).join(AccessKey).where(AccessKey.access_key_id == access_key_id)
    found = session.exec(query).first() if plausible else None
    if found is None or not caller.token.reaches(found.slug):
        raise Problem(
            problems.NOT_FOUND,
            "No record knows a key of this id. If a leak report names it, look for it in AWS "
            "itself: `handover key off` with the id finds its user and cuts it.",
        )
    return client_within_reach(session, caller, found.slug, for_update=True)


def _carried_out(services: Services, client_id: str) -> AccessDocument:
    try:
        return _document(carry_out(services, client_id, anew=True))
    except StackError as error:
        raise unconfirmed(services, client_id, error) from error


def unconfirmed(services: Services, client_id: str, error: StackError) -> Problem:
    """Return the 503 that says that the wish is committed and that AWS has not confirmed it."""
    with transaction(services.database, write=False) as session:
        client = session.get_one(Client, client_id)
    wish = "suspended" if client.suspended_at is not None else "given its access back"
    return Problem(
        problems.ACCESS_UNCONFIRMED,
        f"It is written down that {client.slug} is to be {wish}, and the service tries on. "
        f"AWS has not confirmed it: {error.failure.detail}",
        members={"code": error.failure.code, "committed": True, "links": links_of(client)},
        headers={"Retry-After": "5"},
    )


def _document(found: Confirmation) -> AccessDocument:
    client, held = found.client, found.held
    return AccessDocument(
        client=client.slug,
        state=client.state,
        suspended=suspended_document(client),
        user_name=held.user_name,
        user_exists=held.exists,
        denied=held.denied,
        keys=[
            HeldKeyDocument(key_id=key.access_key_id, status="Active" if key.active else "Inactive")
            for key in held.keys
        ],
        cut=held.cut,
        confirmed_at=found.at,
        links=links_of(client),
    )
