"""The page behind a one-time link: says what waits, downloads it by POST, takes a confirmation.

It is the same for every link: what is after the `#` never reaches the server with the GET. The
script only carries it into a POST's body; without scripts the receiver pastes it into the field.
"""

import hashlib
from base64 import b64encode
from html import escape

from fastapi.responses import HTMLResponse

from service.delivery.links import COLLECT_PATH
from service.delivery.texts import password_text, texts

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.3rem;background:#124;"
    "color:#fff;cursor:pointer}button:disabled{background:#888}input{font:inherit;width:100%;"
    "padding:.4rem;margin:.3rem 0 1rem;box-sizing:border-box}"
    ".note{background:#f3f3ee;padding:1rem;border-left:.3rem solid #888}"
    ".bad{border-color:#a00}.hidden{display:none}"
)

_SCRIPT = """
"use strict";
const path = document.body.dataset.path;
const token = document.getElementById("token");
const part = (id) => document.getElementById(id);
const show = (id, on) => part(id).classList.toggle("hidden", !on);
const post = (what) => fetch(path + "/" + what, {
  method: "POST", cache: "no-store", body: new URLSearchParams({token: token.value}),
});
const refused = () => { show("ready", false); show("invalid", true); };
async function look() {
  const answer = await post("look");
  if (!answer.ok) { return refused(); }
  const told = await answer.json();
  part("about").textContent = told.about;
  part("until").textContent = told.until;
  show("field", false); show("ready", true);
}
async function download(event) {
  event.preventDefault();
  const answer = await post("document");
  if (!answer.ok) { return refused(); }
  const named = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") || "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = named ? named[1] : "record.pdf";
  link.click();
  show("ready", false); show("done", true);
}
async function confirmed() {
  const answer = await post("confirm");
  if (!answer.ok) { return; }
  part("confirm").disabled = true;
  show("thanks", true);
}
part("form").addEventListener("submit", download);
part("confirm").addEventListener("click", confirmed);
if (location.hash.length > 1) {
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  look();
}
"""
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'sha256-{b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'",
        "style-src 'unsafe-inline'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


def collect_page(language: str, rule: str) -> HTMLResponse:
    """Return the page in a language; ``rule`` is the password rule of the settings."""
    words = {name: escape(text) for name, text in texts(language).items()}
    body = f"""
<h1>{words["title"]}</h1>
<p>{words["intro"]}</p>
<p class="note">{escape(password_text(language, rule))}</p>
<form id="form" method="post" action="{COLLECT_PATH}/document">
<div id="field"><label for="token">{words["token"]}</label>
<input id="token" name="token" autocomplete="off" spellcheck="false" maxlength="200" required></div>
<div id="ready"><p id="about"></p><p id="until"></p>
<button>{words["download"]}</button></div>
</form>
<p id="invalid" class="note bad hidden" role="alert">{words["invalid"]}</p>
<div id="done" class="hidden"><p role="status">{words["downloaded"]}</p>
<button id="confirm" type="button">{words["confirm"]}</button>
<p id="thanks" class="hidden" role="status">{words["confirmed"]}</p></div>
<script>{_SCRIPT}</script>"""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex"><title>{words["title"]}</title>'
        f"<style>{_STYLE}</style>"
    )
    return HTMLResponse(
        f'<!doctype html><html lang="{language}"><head>{head}</head>'
        f'<body data-path="{COLLECT_PATH}">{body}</body></html>',
        headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"},
    )
