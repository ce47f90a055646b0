"""Who may do what: bearer tokens, scopes, and nothing for anybody else (PB-16, RX-16)."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from sqlmodel import Session, select

from models.actors import Actor, ApiToken, token_sha256
from models.base import utc_now
from models.database import transaction
from service.context import Services
from service.http.guards import PUBLIC_PATHS, UnguardedRoute, require_guards
from service.http.routes import routes
from tests.service.http.conftest import Stage, TokenFactory, caller, mint, with_settings

Request = dict[str, Any]


def stored_token(session: Session, plain: str) -> ApiToken:
    """Return the row of a token."""
    return session.exec(select(ApiToken).where(ApiToken.token_sha256 == token_sha256(plain))).one()


def test_every_route_refuses_without_a_token(address: str) -> None:
    """PB-16: each route but health and problem pages answers 401, whatever else is wrong."""
    guarded = 0
    with httpx.Client(base_url=address, trust_env=False) as nobody:
        for route in routes():
            path = re.sub(r"{\w+}", "x", route.path)
            for method in route.methods or ():
                answer = nobody.request(method, path)
                if route.path in PUBLIC_PATHS:
                    # A webhook has a signature instead of a token.
                    refused = 401 if route.path.startswith("/v1/webhooks/") else 404
                    assert answer.status_code in (200, 404, 503, refused), route.path
                    continue
                guarded += 1
                assert answer.status_code == 401, (method, path)
                assert answer.json()["type"] == "/problems/unauthenticated"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert guarded >= 15


def test_an_unguarded_route_stops_the_start() -> None:
    """PB-16: forgetting to ask for a caller is found when the application is made."""
    router = APIRouter()

    @router.get("/v1/secrets")
    def secrets() -> None: ...

    with pytest.raises(UnguardedRoute, match="/v1/secrets"):
        require_guards(route for route in router.routes if isinstance(route, APIRoute))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic dXNlcjpwYXNz", "Bearer hnd_unknown", "Bearer \x7f", "hnd_x"],
)
def test_unusable_credentials_are_401(address: str, header: str) -> None:
    """Whatever is wrong with the header, the answer is the same 401 problem."""
    answer = httpx.get(f"{address}/v1/clients", headers={"Authorization": header}, trust_env=False)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")


def test_revoked_expired_and_inactive_are_401(address: str, services: Services) -> None:
    """RX-22: a token stops at once when it is revoked or expires, or its actor is made inactive."""
    plain = mint(services, "clients:read")
    with caller(address, plain) as client:
        assert client.get("/v1/clients").status_code == 200
        for spoil in ("expires_at", "revoked_at"):
            with transaction(services.database) as session:
                token = stored_token(session, plain)
                before = getattr(token, spoil)
                setattr(token, spoil, utc_now() - timedelta(seconds=1))
            assert client.get("/v1/clients").status_code == 401, spoil
            with transaction(services.database) as session:
                setattr(stored_token(session, plain), spoil, before)
        with transaction(services.database) as session:
            session.get_one(Actor, stored_token(session, plain).actor_id).active = False
        answer = client.get("/v1/clients")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/clients", "clients:read"),
        ("POST", "/v1/clients", "clients:write"),
        ("DELETE", "/v1/clients/ABC-LLC?reason=because", "clients:close"),
        ("POST", "/v1/clients/ABC-LLC/reopen", "clients:write"),
        ("GET", "/v1/clients/ABC-LLC/record.pdf", "records:read"),
        ("GET", "/v1/operations", "clients:read"),
        ("GET", "/v1/audit", "admin"),
        ("GET", "/v1/audit/verify", "admin"),
    ],
)
def test_missing_scopes_are_named(
    address: str, token: TokenFactory, abc_llc: Request, method: str, path: str, scope: str
) -> None:
    """A token with all scopes but the one needed gets a 403 that names it; with it, it does not."""
    scopes = {"clients:read", "clients:write", "clients:close", "records:read"} - {scope}
    body = abc_llc if (method, path) == ("POST", "/v1/clients") else None
    with caller(address, token(*scopes)) as client:
        answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/insufficient-scope")
    assert answer.json()["scope"] == scope
    assert scope in answer.json()["detail"]
    with caller(address, token("admin")) as admin:
        assert admin.request(method, path, json=body).status_code != 403


def test_limited_tokens_do_not_read_the_whole_chain(address: str, token: TokenFactory) -> None:
    """An admin token that is limited to slugs sees nobody else's events."""
    with caller(address, token("admin", slugs=["ABC-LLC"])) as limited:
        assert limited.get("/v1/audit").status_code == 403
        assert limited.get("/v1/audit/verify").status_code == 403


def test_use_is_noted_at_most_once_a_minute(address: str, services: Services) -> None:
    """`last_used_at` tells which tokens are in use without a write for each request (RX-21)."""
    plain = mint(services, "clients:read")

    def used_at() -> Any:
        with transaction(services.database, write=False) as session:
            return stored_token(session, plain).last_used_at

    with caller(address, plain) as client:
        assert used_at() is None
        client.get("/v1/clients")
        first = used_at()
        client.get("/v1/clients")
        assert used_at() == first is not None
        with transaction(services.database) as session:
            stored_token(session, plain).last_used_at = first - timedelta(seconds=61)
        client.get("/v1/clients")
        assert used_at() > first


@pytest.mark.parametrize(("trusted", "seen"), [((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.7")])
def test_source_address_is_the_peer_or_what_a_trusted_proxy_says(
    stage: Stage,
    services: Services,
    token: TokenFactory,
    abc_llc: Request,
    trusted: tuple[str, ...],
    seen: str,
) -> None:
    """RX-17: nobody writes another's address into the audit, but a proxy named in the settings
    may.
    """
    address = stage.put(with_settings(services, trusted_proxies=trusted))
    headers = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7"}
    with caller(address, token("admin")) as client:
        client.post("/v1/clients", json=abc_llc, headers=headers)
        [event] = client.get("/v1/audit").json()["items"]
    assert event["source_ip"] == seen
