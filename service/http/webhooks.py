"""`/v1/webhooks/{connection}`: where tools report signed contracts; public, signed."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request

from models.base import utc_now
from service import problems
from service.http.dependencies import ServicesDep
from service.http.openapi import documented
from service.http.webhook_documents import ReceiptDocument
from service.webhooks.rates import TokenBuckets
from service.webhooks.receiving import delivery_address, receive
from service.webhooks.verifiers import Delivery

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "/{connection}",
    summary="Report a signed contract",
    responses=documented(
        problems.WEBHOOK_REFUSED,
        problems.INVALID_PARAMETER,
        problems.MALFORMED_BODY,
        problems.BODY_TOO_LARGE,
        problems.TOO_MANY_REQUESTS,
        problems.INTERNAL_ERROR,
        problems.DATABASE_UNAVAILABLE,
        public=True,
    ),
)
async def receive_webhook(
    connection: str, request: Request, services: ServicesDep
) -> ReceiptDocument:
    """Verify the delivery over its raw bytes, keep its events once, and answer at once.

    The answer is 200 for every genuine delivery, whatever it says: work comes later.
    """
    address = delivery_address(services.settings.base_url, connection)
    query = request.url.query
    delivery = Delivery(
        body=await request.body(),
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        uri=f"{address}?{query}" if address and query else address,
        at=utc_now(),
    )
    rates = request.app.state.webhook_rates
    assert isinstance(rates, TokenBuckets)
    receipt = await run_sync(receive, services, rates, connection, delivery)
    return ReceiptDocument(received=receipt.received, new=receipt.new)
