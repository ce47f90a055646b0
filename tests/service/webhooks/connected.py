"""A tool that is connected: it delivers to the running service and is asked what became of it."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import BASE_URL, HUBSPOT, PIPEDRIVE, Body, Signed, Tool

PATIENCE = 60.0


@dataclass(frozen=True)
class Connected:
    """A connection as its tool knows it; `admin` reads what became of deliveries, `visitor` has no
    token.
    """

    admin: httpx.Client
    visitor: httpx.Client
    tool: Tool
    id: str
    name: str
    secret: str = field(repr=False)

    @property
    def url(self) -> str:
        """The address that the tool was told."""
        return f"{BASE_URL}/v1/webhooks/{self.id}"

    def send(self, signed: Signed) -> httpx.Response:
        """Send a request as the tool would, without any token."""
        return self.visitor.post(
            f"/v1/webhooks/{self.id}",
            content=signed.content,
            headers={"Content-Type": "application/json", **signed.headers},
            params=signed.params or None,
        )

    def deliver(self, body: Body, **options: Any) -> httpx.Response:
        """Sign a body and send it."""
        return self.send(self.tool.sign(self.secret, body, self.url, **options))

    def events(self, **filters: str) -> list[dict[str, Any]]:
        """What this connection has brought, newest first."""
        params = {"connection": self.name, **filters}
        answer = self.admin.get("/v1/webhook-events", params=params).raise_for_status()
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def settled(self) -> dict[str, Any]:
        """Wait until the newest event is settled, and return it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            [event, *_] = self.events()
            if event["finished_at"] is not None:
                return event
            time.sleep(0.05)
        raise AssertionError(f"not settled: {event}")


def connect(
    admin: httpx.Client,
    visitor: httpx.Client,
    tool: Tool,
    tool_api: FakeToolApi,
    **values: object,
) -> Connected:
    """Make a connection of the tool through the API."""
    request: dict[str, Any] = {"name": tool.kind, "kind": tool.kind, **tool.connection, **values}
    if tool in (HUBSPOT, PIPEDRIVE):
        request.setdefault("api_url", tool_api.url)
    answer = admin.post("/v1/webhook-connections", json=request)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made["secret"] or str(request["secret"])
    connection = made["connection"]
    return Connected(admin, visitor, tool, connection["id"], connection["name"], secret)
