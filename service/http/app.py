"""The application: routers, handlers, middleware and the services, put together."""

from anyio import CapacityLimiter
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.context import Services
from service.http import (
    approvals,
    areas,
    audit,
    client_changes,
    client_reading,
    clients,
    collect,
    delegations,
    docs,
    errors,
    events,
    health,
    keys,
    openapi,
    operation_changes,
    operations,
    queue,
    reconciliation,
    record_links,
    records,
    rotation,
    suspension,
    templates,
    webhook_connections,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
    webhooks,
)
from service.http.guards import require_guards
from service.http.middleware import BodyLimit, HeadAsGet, RequestContext
from service.http.outlook import AwsOutlook
from service.http.quota import AdmissionControl
from service.http.routes import ROUTERS, routes
from service.http.threads import Threads
from service.version import version
from service.webhooks.rates import TokenBuckets

ROUTERS[:] = [
    clients.router,
    client_reading.router,
    client_changes.router,
    areas.router,
    approvals.router,
    delegations.router,
    suspension.router,
    rotation.router,
    keys.router,
    records.router,
    record_links.router,
    collect.router,
    templates.router,
    webhooks.router,
    webhook_connections.router,
    webhook_events.router,
    audit.router,
    reconciliation.router,
    events.router,
    webhook_endpoints.router,
    webhook_deliveries.router,
    operations.router,
    operation_changes.router,
    queue.router,
    health.router,
    docs.router,
]


def create_app(services: Services) -> FastAPI:
    """Return the HTTP application over these services; raises UnguardedRoute for an open route."""
    app = FastAPI(
        title="Handover",
        version=version(),
        description=openapi.DESCRIPTION,
        # The interactive pages would load their scripts from a network that is not ours (PB-01).
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,
    )
    app.state.services = services
    settings = services.settings
    app.state.admission = AdmissionControl.of(services)
    app.state.looks = CapacityLimiter(areas.PARALLEL_LOOKS)
    app.state.webhook_rates = TokenBuckets(settings.webhook_requests_per_minute)
    app.state.collect_tries = TokenBuckets(collect.TRIES_PER_MINUTE)
    app.state.threads = Threads()
    app.state.outlook = AwsOutlook(services.areas)
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
