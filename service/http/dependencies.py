"""What endpoints ask for: the services, the caller behind a bearer token, and who to name in the
audit.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from sqlalchemy.exc import DBAPIError

from models.actors import Actor, ApiToken, Scope, authenticate
from models.base import utc_now
from models.database import transaction
from service import problems
from service.context import Services
from service.http.threads import threads_for_caller
from service.problems import Problem
from service.wishes import Requester

_log = logging.getLogger("handover.http")
_LAST_USED_STEP = timedelta(minutes=1)

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A token from `handover token create`, with scopes and perhaps limited to slugs.",
)


@dataclass(frozen=True)
class Caller:
    """Who calls: the actor behind the token, and what the token permits."""

    token: ApiToken
    actor: Actor
    source_ip: str | None
    request_id: str

    @property
    def requester(self) -> Requester:
        """Return the caller as the audit names it: ids and the network address only."""
        return Requester(self.actor.id, self.source_ip, self.request_id)

    def require(self, scope: Scope) -> None:
        """Raise the 403 that names `scope` unless the token carries it."""
        if not self.token.grants(scope):
            raise Problem(
                problems.INSUFFICIENT_SCOPE,
                f"The token lacks the scope {scope.value}.",
                members={"scope": scope.value},
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )


# Coroutines, though they wait for nothing: FastAPI would run a function in a thread that may have
# to be waited for.
async def services_of(request: Request) -> Services:
    """Return the services that the application was created with."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


async def authenticated(
    request: Request,
    services: ServicesDep,
    needed: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    """Return the caller, or raise 401 without saying what is wrong with the token (PB-16)."""
    if credentials is None:
        raise unauthenticated("No bearer token was sent.")
    plain, limiter = credentials.credentials, threads_for_caller(request)
    caller = await run_sync(caller_behind, request, services, plain, limiter=limiter)
    if caller is None:
        raise unauthenticated("The token is unknown, expired or revoked.", error="invalid_token")
    for scope in needed.scopes:
        caller.require(Scope(scope))
    return caller


def caller_behind(request: Request, services: Services, plain: str) -> Caller | None:
    """Return the caller that a token stands for, or None; notes at most once a minute that it was
    used.
    """
    now = utc_now()
    with transaction(services.database, write=False) as session:
        found = authenticate(session, plain, at=now)
        if found is None:
            return None
        token, actor = found
        session.expunge_all()
    if _is_stale(token, now):
        try:
            _note_use(services, token.id, now)
        except DBAPIError as error:
            # A database that takes no changes can still be read.
            _log.warning("the use of a token was not noted: %s", error)
    request.state.actor_id = actor.id
    return Caller(token, actor, source_ip(request), str(request.state.request_id))


def unauthenticated(detail: str, *, error: str | None = None) -> Problem:
    """Return the 401 with the challenge of RFC 6750, section 3."""
    challenge = 'Bearer realm="handover"' + (f', error="{error}"' if error else "")
    return Problem(problems.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})


def source_ip(request: Request) -> str | None:
    """Return the address of the socket's peer; behind a trusted proxy, the one that it reports."""
    host = request.client.host if request.client else ""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _is_stale(token: ApiToken, now: datetime) -> bool:
    return token.last_used_at is None or now - token.last_used_at >= _LAST_USED_STEP


def _note_use(services: Services, token_id: str, now: datetime) -> None:
    with transaction(services.database) as session:
        token = session.get(ApiToken, token_id)
        if token is not None and _is_stale(token, now):
            token.last_used_at = now


def _scoped(scope: Scope) -> object:
    return Security(authenticated, scopes=[scope.value])


Reader = Annotated[Caller, _scoped(Scope.clients_read)]
Writer = Annotated[Caller, _scoped(Scope.clients_write)]
Closer = Annotated[Caller, _scoped(Scope.clients_close)]
RecordReader = Annotated[Caller, _scoped(Scope.records_read)]
Decider = Annotated[Caller, _scoped(Scope.approvals_decide)]
Admin = Annotated[Caller, _scoped(Scope.admin)]
