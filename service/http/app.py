"""The application: routers, handlers, middleware and the services, put together."""

from importlib.metadata import PackageNotFoundError, version

from anyio import CapacityLimiter
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.context import Services
from service.http import (
    areas,
    audit,
    client_changes,
    client_reading,
    clients,
    docs,
    errors,
    health,
    openapi,
    operations,
    records,
    templates,
)
from service.http.guards import require_guards
from service.http.middleware import BodyLimit, HeadAsGet, RequestContext
from service.http.quota import UserQuota
from service.http.routes import ROUTERS, routes

ROUTERS[:] = [
    clients.router,
    client_reading.router,
    client_changes.router,
    areas.router,
    records.router,
    templates.router,
    audit.router,
    operations.router,
    health.router,
    docs.router,
]


def create_app(services: Services) -> FastAPI:
    """Return the HTTP application over these services; raises UnguardedRoute for an open route."""
    app = FastAPI(
        title="Handover",
        version=_version(),
        description=openapi.DESCRIPTION,
        # The interactive pages would load their scripts from a network that is not ours (PB-01).
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,
    )
    app.state.services = services
    settings = services.settings
    app.state.quota = UserQuota(services.areas, services.database, settings.iam_user_quota)
    app.state.looks = CapacityLimiter(areas.PARALLEL_LOOKS)
    for router in ROUTERS:
        app.include_router(router)
    require_guards(routes())
    errors.install(app)
    openapi.install(app)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestContext)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    return app


def _version() -> str:
    try:
        return version("handover")
    except PackageNotFoundError:
        return "0.0.0"
