"""`/collect`: the page behind a one-time link and what its receiver may do, without a token of the
API. GET gives nothing away; the link's token comes in the body of a POST.
"""

from typing import Annotated
from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from service import problems
from service.context import Services
from service.delivery.collecting import Collectable, collect, confirm, look
from service.delivery.links import COLLECT_PATH
from service.delivery.page import collect_page
from service.delivery.texts import TEXTS, texts
from service.http.dependencies import ServicesDep, source_ip
from service.http.negotiation import PDF
from service.http.openapi import PDF_CONTENT, Responses, documented
from service.problems import Problem
from service.webhooks.rates import TokenBuckets
from service.wishes import Requester

TRIES_PER_MINUTE = 20
"""Tries from one network address; a token has 256 bits, so that this is about noise, not luck."""

router = APIRouter(prefix=COLLECT_PATH, tags=["delivery"])

_PDF: Responses = {200: {"description": "The protected PDF.", "content": PDF_CONTENT}}
_TRIES = documented(problems.LINK_NOT_VALID, problems.TOO_MANY_REQUESTS, public=True)


async def token_sent(request: Request) -> str:
    """Return the link's token from the form in the body; raises 429 when a network tries often."""
    buckets = request.app.state.collect_tries
    assert isinstance(buckets, TokenBuckets)
    wait = buckets.take(source_ip(request) or "-")
    if wait > 0:
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            "Links were tried from this network too often.",
            headers={"Retry-After": str(int(wait) + 1)},
        )
    body = (await request.body())[:1024].decode("ascii", errors="replace")
    return parse_qs(body).get("token", [""])[0].strip()


TokenSent = Annotated[str, Depends(token_sent)]


@router.get("", summary="Page of a one-time link", response_class=HTMLResponse)
async def read_collect_page(request: Request, services: ServicesDep) -> HTMLResponse:
    """Show the page; which link it is stays in the browser until the receiver acts."""
    return collect_page(_language(request), services.settings.password_rule)


@router.post("/look", summary="What waits behind a link", responses=_TRIES)
async def look_at_link(request: Request, services: ServicesDep, token: TokenSent) -> Response:
    """Tell which document waits, and until when. The view is noted."""
    found = await run_sync(look, services, token, source_ip(request))
    if found is None:
        raise _not_valid()
    return JSONResponse(_told(services, found, _language(request)))


@router.post(
    "/document",
    summary="Download a record once",
    response_class=Response,
    responses=_PDF | _TRIES,
)
async def download_document(request: Request, services: ServicesDep, token: TokenSent) -> Response:
    """Answer the protected record, once; then the link is used up. The download is noted."""
    by = Requester("", source_ip(request), str(request.state.request_id))
    issued = await run_sync(collect, services, token, by)
    if issued is None:
        raise _not_valid()
    named = {"Content-Disposition": f'attachment; filename="{issued.filename}"'}
    return Response(issued.pdf, 200, headers=named, media_type=PDF)


@router.post("/confirm", status_code=204, summary="Confirm that the key works", responses=_TRIES)
async def confirm_receipt(request: Request, services: ServicesDep, token: TokenSent) -> Response:
    """Note that the receiver could use the key; the service forgets its secret some days later."""
    if not await run_sync(confirm, services, token, source_ip(request)):
        raise _not_valid()
    return Response(status_code=204)


def _told(services: Services, found: Collectable, language: str) -> dict[str, str]:
    words = texts(language)
    until = found.expires_at.astimezone(services.settings.zone).strftime("%Y-%m-%d %H:%M %Z")
    about = words["about"].format(
        number=found.number, version=found.version, organisation=found.organisation
    )
    return {"about": about, "until": words["until"].format(until=until)}


def _language(request: Request) -> str:
    """Return the first language of the browser's that there are texts in (RFC 9110, 12.5.4)."""
    for part in request.headers.get("accept-language", "").split(","):
        language = part.split(";")[0].strip().lower()[:2]
        if language in TEXTS:
            return language
    return "en"


def _not_valid() -> Problem:
    return Problem(problems.LINK_NOT_VALID, "This link is wrong, has expired or was used.")
