"""What holds for whole routers: JSON bodies only, and no route without a caller (PB-16)."""

from collections.abc import Iterable

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from werkzeug.http import parse_options_header

from service import problems
from service.http.dependencies import authenticated
from service.problems import Problem

PUBLIC_PATHS = frozenset(
    {
        "/docs",
        "/healthz",
        "/readyz",
        "/v1/healthz",
        "/v1/readyz",
        "/problems",
        "/problems/{name}",
        "/v1/webhooks/{connection}",
        "/collect",
        "/collect/look",
        "/collect/document",
        "/collect/confirm",
    }
)
"""All that answers without a token, besides `/openapi.json`."""


class UnguardedRoute(RuntimeError):
    """A route asks for no caller and is not among PUBLIC_PATHS."""


async def json_only(request: Request) -> None:
    """Refuse a body that does not say it is JSON with 415; a dependency of routers that take
    JSON.
    """
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    if media_type.lower() != "application/json" and await request.body():
        raise Problem(
            problems.UNSUPPORTED_MEDIA_TYPE,
            "The body's Content-Type has to be application/json.",
            headers={f"Accept-{request.method.title()}": "application/json"},
        )


def require_guards(routes: Iterable[APIRoute]) -> None:
    """Raise UnguardedRoute for a route that would answer everybody."""
    for route in routes:
        if route.path not in PUBLIC_PATHS and not _asks_for_caller(route.dependant):
            raise UnguardedRoute(f"{sorted(route.methods or ())} {route.path} asks for no token.")


def _asks_for_caller(dependant: Dependant) -> bool:
    return dependant.call is authenticated or any(map(_asks_for_caller, dependant.dependencies))
