"""`/docs`: every call on one page, made from the OpenAPI document, without scripts from
elsewhere.
"""

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.http.pages import page, prose

router = APIRouter(tags=["documentation"])


@router.get("/docs", summary="All calls on one page", response_class=HTMLResponse)
async def read_docs(request: Request) -> HTMLResponse:
    """Describe every call in a page for people; `/openapi.json` is the same for programs."""
    document = request.app.openapi()
    calls = "".join(
        _call(method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    )
    about = "".join(
        f"<p>{prose(part)}</p>" for part in document["info"]["description"].split("\n\n")
    )
    links = '<p><a href="/openapi.json">OpenAPI document</a>, <a href="/problems">problems</a></p>'
    heading = f"<h1>Handover {escape(document['info']['version'])}</h1>"
    return page("Handover", f"{heading}{about}{links}<dl>{calls}</dl>")


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    scopes = sorted(
        {scope for entry in operation.get("security", ()) for s in entry.values() for scope in s}
    )
    needs = f"<p>Needs <code>{escape(', '.join(scopes))}</code></p>" if scopes else ""
    answers = ", ".join(sorted(operation["responses"]))
    return (
        f"<dt><code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}</dt>"
        f"<dd><p>{prose(operation['description'])}</p>{needs}<p>Answers {answers}</p></dd>"
    )
