"""The few pages that the service shows to people: plain, without scripts, from nowhere else."""

import re
from html import escape

from fastapi.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#eee;padding:.1rem .3rem}dt{margin-top:1.5rem}"
)
_CODE = re.compile(r"`([^`]+)`")


def prose(text: str) -> str:
    """Return text as HTML: escaped, with what stands between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def page(title: str, body: str) -> HTMLResponse:
    """Return a page with this title around the body, which is HTML already."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>',
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )
