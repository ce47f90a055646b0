"""The APIs of HubSpot and Pipedrive, which cannot run here: a server on loopback that answers as
their documentation says (CRM objects v3, Pipedrive API v2).
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.service.webhooks.tools import (
    HUBSPOT_COMPANY,
    HUBSPOT_CONTACT,
    HUBSPOT_DEAL,
    PIPEDRIVE_ORGANIZATION,
    PIPEDRIVE_PERSON,
    Contract,
)

HUBSPOT_TOKEN, PIPEDRIVE_TOKEN = "pat-of-the-test", "api-token-of-the-test"


class FakeToolApi:
    """Answers what was put in with `knows`; `refusals` are answered first, one for each request."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.refusals: list[int] = []
        self.redirect_to: str | None = None
        self.delay = threading.Event()
        self.slow = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeToolApi":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delay.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def knows(self, contract: Contract, *, stage: str = "closedwon", contacts: int = 1) -> None:
        """Let both tools know the contract's deal, company and signer."""
        company = [
            {"id": HUBSPOT_COMPANY, "type": "deal_to_company"},
            {"id": HUBSPOT_COMPANY, "type": "deal_to_company_unlabeled"},
            {"id": "7999", "type": "deal_to_company_unlabeled"},
        ]
        signers = [
            {"id": str(int(HUBSPOT_CONTACT) + number), "type": "deal_to_contact"}
            for number in range(contacts)
        ]
        self.answers = {
            f"/crm/v3/objects/deals/{HUBSPOT_DEAL}": {
                "id": HUBSPOT_DEAL,
                "properties": {
                    "dealstage": stage,
                    "closedate": "2026-03-31T10:00:00.000Z",
                    "contract_kind": contract.kind,
                    "contract_reference": contract.reference,
                    "sharing_purpose": "Clinical validation of the device",
                    "data_categories": "clinical images;metadata",
                },
                "associations": {
                    "companies": {"results": company},
                    "contacts": {"results": signers},
                },
                "archived": False,
            },
            f"/crm/v3/objects/companies/{HUBSPOT_COMPANY}": {
                "id": HUBSPOT_COMPANY,
                "properties": {"name": contract.legal_name, "country": "Spain"},
            },
            f"/crm/v3/objects/contacts/{HUBSPOT_CONTACT}": {
                "id": HUBSPOT_CONTACT,
                "properties": {
                    "firstname": contract.first_name,
                    "lastname": contract.last_name,
                    "email": contract.email,
                },
            },
            f"/api/v2/organizations/{PIPEDRIVE_ORGANIZATION}": {
                "success": True,
                "data": {
                    "id": PIPEDRIVE_ORGANIZATION,
                    "name": contract.legal_name,
                    "address": {"country": "Spain"},
                },
            },
            f"/api/v2/persons/{PIPEDRIVE_PERSON}": {
                "success": True,
                "data": {
                    "id": PIPEDRIVE_PERSON,
                    "first_name": contract.first_name,
                    "last_name": contract.last_name,
                    "emails": [
                        {"value": "old@abc.example", "primary": False},
                        {"value": contract.email, "primary": True},
                    ],
                },
            },
        }

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.asked.append(request.path)
        if self.slow:
            self.delay.wait(60)
        path = urlsplit(request.path).path
        if self.redirect_to is not None:
            self._send(request, 302, {}, self.redirect_to)
        elif self.refusals:
            self._send(request, self.refusals.pop(0), {"message": "no"})
        elif not _permitted(request):
            self._send(request, 401, {"message": "who are you?"})
        elif path not in self.answers:
            self._send(request, 404, {"message": "no such thing"})
        else:
            self._send(request, 200, _asked_for(request.path, self.answers[path]))

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: Any, location: str = ""
    ) -> None:
        content = json.dumps(body).encode()
        request.send_response(status)
        if location:
            request.send_header("Location", location)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _permitted(request: BaseHTTPRequestHandler) -> bool:
    if request.path.startswith("/crm/"):
        return request.headers.get("Authorization") == f"Bearer {HUBSPOT_TOKEN}"
    return request.headers.get("x-api-token") == PIPEDRIVE_TOKEN


def _asked_for(path: str, answer: dict[str, Any]) -> dict[str, Any]:
    """HubSpot answers the properties that it was asked for, and associations if asked."""
    if not path.startswith("/crm/"):
        return answer
    query = parse_qs(urlsplit(path).query)
    names = ",".join(query.get("properties", [])).split(",")
    properties = {k: v for k, v in answer["properties"].items() if k in names}
    found = {**answer, "properties": properties}
    if "associations" not in query:
        found.pop("associations", None)
    return found
