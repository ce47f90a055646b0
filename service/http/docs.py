"""`/docs`: every call on one page, made from the OpenAPI document, without scripts from
elsewhere.
"""

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(tags=["documentation"])

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#eee;padding:.1rem .3rem}dt{margin-top:1.5rem}"
)


@router.get("/docs", summary="All calls on one page", response_class=HTMLResponse)
async def read_docs(request: Request) -> HTMLResponse:
    """Describe every call in a page for people; `/openapi.json` is the same for programs."""
    document = request.app.openapi()
    calls = "".join(
        _call(method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    )
    head = f'<meta charset="utf-8"><title>Handover</title><style>{_STYLE}</style>'
    about = "".join(
        f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n")
    )
    links = '<p><a href="/openapi.json">OpenAPI document</a>, <a href="/problems">problems</a></p>'
    body = f"<h1>Handover {escape(document['info']['version'])}</h1>{about}{links}<dl>{calls}</dl>"
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>',
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    scopes = sorted(
        {scope for entry in operation.get("security", ()) for s in entry.values() for scope in s}
    )
    needs = f"<p>Needs <code>{escape(', '.join(scopes))}</code></p>" if scopes else ""
    answers = ", ".join(sorted(operation["responses"]))
    return (
        f"<dt><code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}</dt>"
        f"<dd><p>{escape(operation['description'])}</p>{needs}<p>Answers {answers}</p></dd>"
    )
