"""The routers of the service, gathered by `app.py`, and questions about all of them together."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

ROUTERS: list[APIRouter] = []


def routes() -> list[APIRoute]:
    """Return every route of every router, in order."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def allowed_methods(path: str) -> list[str]:
    """Return all methods that the address knows, with the implied HEAD and OPTIONS."""
    methods = {
        method
        for route in routes()
        if route.path_regex.match(path)
        for method in route.methods or ()
    }
    implied = {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return sorted(methods | implied)
