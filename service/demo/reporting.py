"""The last chapter: a tool of the organisation reports a signed contract, and the area opens."""

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from service.demo.claims import Claims

WAIT_SECONDS = 60
_SETTLED = ("opened", "duplicate", "ignored", "needs_attention")


class ToolOfOurs:
    """An internal tool that reports signed contracts as Standard Webhooks."""

    def __init__(self, admin: httpx.Client, http: httpx.Client) -> None:
        """Connect the tool, as an administrator would; ``http`` is the tool's own, tokenless."""
        request = {"name": "contract-register", "kind": "standard"}
        made = admin.post("/v1/webhook-connections", json=request).raise_for_status().json()
        self._path = str(made["connection"]["path"])
        self._secret = str(made["secret"])
        self._http = http

    def report(self, contract: dict[str, Any], *, secret: str | None = None) -> httpx.Response:
        """Send the signed event."""
        event = {"type": "contract.signed", "data": contract}
        body, name, now = json.dumps(event), f"msg_{secrets.token_hex(8)}", datetime.now(UTC)
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret or self._secret).sign(name, now, body),
        }
        return self._http.post(self._path, content=body, headers=headers)


def report_contract(admin: httpx.Client, claims: Claims, contract: dict[str, Any]) -> None:
    """Let a tool report the contract, and check what becomes of it."""
    # Without the administrator's token: the signature is all that the tool shows.
    with httpx.Client(base_url=admin.base_url, timeout=admin.timeout) as http:
        _report(admin, ToolOfOurs(admin, http), claims, contract)


def _report(
    admin: httpx.Client, tool: ToolOfOurs, claims: Claims, contract: dict[str, Any]
) -> None:
    stranger = tool.report(contract, secret=f"whsec_{'A' * 43}=")
    claims.check("a wrong signature is refused", stranger.status_code == 401, "401")
    started = time.perf_counter()
    answer = tool.report(contract)
    took = f"{(time.perf_counter() - started) * 1000:.0f} ms"
    claims.check("a right one is taken at once", answer.status_code == 200, took)
    event = _settled(admin, 1)[0]
    claims.check("the event has opened the area", event["state"] == "opened", event["state"])
    if event["state"] != "opened":
        return
    wait = {"Prefer": f"wait={WAIT_SECONDS}"}
    operation = admin.get(event["links"]["operation"], headers=wait).raise_for_status().json()
    claims.check("the operation has succeeded", operation["state"] == "succeeded")
    client = admin.get(event["links"]["client"]).raise_for_status().json()
    place = f"s3://{client['area']['bucket']}/{client['area']['prefix']}"
    claims.check("the area is open", client["state"] == "open", place)
    tool.report(contract)
    again = _settled(admin, 2)[0]
    claims.check("the same contract opens nothing twice", again["state"] == "duplicate")


def _settled(admin: httpx.Client, count: int) -> list[dict[str, Any]]:
    """Return the tool's events, newest first, once all of them are settled."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        events: list[dict[str, Any]] = admin.get("/v1/webhook-events").json()["items"]
        done = len(events) == count and all(event["state"] in _SETTLED for event in events)
        if done or time.monotonic() > deadline:
            return events
        time.sleep(0.05)
