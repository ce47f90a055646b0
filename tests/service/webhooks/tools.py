"""The tools as they send: bodies shaped like the vendors' published examples, and their signatures.

The signatures are made with another library than the one that verifies them, and by code of its
own.
"""

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

BASE_URL = "https://handover.example/in"
HUBSPOT_DEAL, HUBSPOT_COMPANY, HUBSPOT_CONTACT = "9001", "7001", "5001"
PIPEDRIVE_ORGANIZATION, PIPEDRIVE_PERSON = 71, 51

Body = Any


@dataclass(frozen=True)
class Contract:
    """What was signed, by whom."""

    legal_name: str
    reference: str
    first_name: str = "Ada"
    last_name: str = "Lovelace"
    email: str = "ada@abc.example"
    kind: str = "dpa"

    @property
    def signer(self) -> str:
        """The signer's whole name."""
        return f"{self.first_name} {self.last_name}"


@dataclass(frozen=True)
class Signed:
    """A request as the tool would send it."""

    content: bytes
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A tool: its kind, its event for a contract, how it signs, and how it is connected."""

    kind: str
    event: Callable[[Contract], Body]
    sign: Callable[..., Signed]
    connection: Mapping[str, Any] = field(default_factory=dict)


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256."""
    maker = HMAC(key, SHA256())
    maker.update(message)
    return maker.finalize()


def encoded(body: Body) -> bytes:
    """The body's bytes."""
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def sign_standard(
    secret: str, body: Body, url: str = "", *, at: float | None = None, event_id: str = ""
) -> Signed:
    """Sign as https://www.standardwebhooks.com says."""
    content, name = encoded(body), event_id or f"msg_{uuid.uuid4().hex}"
    stamp = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(mac(key, b".".join([name.encode(), stamp.encode(), content])))
    headers = {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature.decode()}",
    }
    return Signed(content, headers)


def sign_hubspot(secret: str, body: Body, url: str, *, at: float | None = None) -> Signed:
    """Sign as HubSpot's version 3: method, URI, body, milliseconds."""
    content = encoded(body)
    stamp = str(int((time.time() if at is None else at) * 1000))
    message = f"POST{url}".encode() + content + stamp.encode()
    signature = base64.b64encode(mac(secret.encode(), message)).decode()
    return Signed(
        content,
        {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp},
    )


def sign_docusign(secret: str, body: Body, url: str = "") -> Signed:
    """Sign as DocuSign Connect, which sends a signature for each of its keys."""
    content = encoded(body)
    signature = base64.b64encode(mac(secret.encode(), content)).decode()
    other = base64.b64encode(mac(b"a key of somebody else", content)).decode()
    return Signed(content, {"X-DocuSign-Signature-1": other, "X-DocuSign-Signature-2": signature})


def sign_pandadoc(secret: str, body: Body, url: str = "") -> Signed:
    """Sign as PandaDoc, in the query."""
    content = encoded(body)
    return Signed(content, params={"signature": mac(secret.encode(), content).hex()})


def sign_zoho(secret: str, body: Body, url: str = "") -> Signed:
    """Sign as Zoho Sign."""
    content = encoded(body)
    signature = base64.b64encode(mac(secret.encode(), content)).decode()
    return Signed(content, {"X-ZS-WEBHOOK-SIGNATURE": signature})


def sign_pipedrive(secret: str, body: Body, url: str = "") -> Signed:
    """Show the password, as Pipedrive does."""
    sent = base64.b64encode(f"handover:{secret}".encode()).decode()
    return Signed(encoded(body), {"Authorization": f"Basic {sent}"})


def standard_event(contract: Contract) -> Body:
    """The generic event, for internal tools."""
    return {
        "type": "contract.signed",
        "timestamp": "2026-03-31T10:00:00Z",
        "data": {
            "legal_name": contract.legal_name,
            "purpose": "Clinical validation of the device",
            "data_categories": ["clinical images"],
            "contract": {
                "kind": contract.kind,
                "reference": contract.reference,
                "signed_on": "2026-03-31",
                "jurisdiction": "ES",
                "signer": {
                    "first_name": contract.first_name,
                    "last_name": contract.last_name,
                    "email": contract.email,
                },
            },
        },
    }


def hubspot_event(_contract: Contract) -> Body:
    """A batch of the Webhooks API: ids only."""
    return [
        {
            "eventId": 3181526809,
            "subscriptionId": 1859972,
            "portalId": 62515,
            "appId": 54321,
            "occurredAt": 1774951200000,
            "subscriptionType": "deal.propertyChange",
            "attemptNumber": 0,
            "objectId": int(HUBSPOT_DEAL),
            "propertyName": "dealstage",
            "propertyValue": "closedwon",
            "changeSource": "CRM_UI",
            "sourceId": "userId:12345",
        }
    ]


def docusign_event(contract: Contract) -> Body:
    """A JSON message of Connect with custom fields and recipients."""
    values = {
        "legal_name": contract.legal_name,
        "contract_reference": contract.reference,
        "contract_kind": contract.kind.upper(),
        "purpose": "Clinical validation of the device",
        "data_categories": "clinical images; metadata",
        "jurisdiction": "Spain",
    }
    fields = [
        {"fieldId": str(number), "name": name, "show": "true", "required": "true", "value": value}
        for number, (name, value) in enumerate(values.items(), start=10264672785)
    ]
    signers = [
        {
            "name": "Somebody of ours",
            "email": "legal@ours.example",
            "recipientId": "1",
            "roleName": "Provider",
            "status": "completed",
        },
        {
            "name": contract.signer,
            "email": contract.email,
            "recipientId": "2",
            "roleName": "Client",
            "status": "completed",
        },
    ]
    envelope = "98765432-dcba-4321-dcba-098765432100"
    return {
        "event": "envelope-completed",
        "apiVersion": "v2.1",
        "uri": f"/restapi/v2.1/accounts/1234/envelopes/{envelope}",
        "retryCount": 0,
        "configurationId": 10532,
        "generatedDateTime": "2026-03-31T16:05:32.1234567Z",
        "data": {
            "accountId": "12345678-abcd-1234-abcd-1234567890ab",
            "envelopeId": envelope,
            "envelopeSummary": {
                "status": "completed",
                "completedDateTime": "2026-03-31T16:05:30.1230000Z",
                "customFields": {"textCustomFields": fields, "listCustomFields": []},
                "recipients": {"signers": signers, "carbonCopies": []},
            },
        },
    }


def pandadoc_event(contract: Contract) -> Body:
    """A list of events, with metadata, tokens and recipients."""
    return [
        {
            "event": "document_state_changed",
            "data": {
                "id": "5ECrsBCuWkzJXkdi88KxC5",
                "name": "Data processing agreement",
                "status": "document.completed",
                "date_created": "2026-03-30T10:30:45.000000Z",
                "date_modified": "2026-03-31T11:45:12.000000Z",
                "date_completed": "2026-03-31T11:45:12.000000Z",
                "metadata": {
                    "contract_kind": contract.kind,
                    "contract_reference": contract.reference,
                    "jurisdiction": "ES",
                },
                "tokens": [
                    {"name": "Client.Company", "value": contract.legal_name},
                    {"name": "purpose", "value": "Clinical validation of the device"},
                    {"name": "data_categories", "value": "clinical images"},
                ],
                "recipients": [
                    {
                        "id": "tM4hTUXdAFXkBnDHBpfvtR",
                        "first_name": contract.first_name,
                        "last_name": contract.last_name,
                        "email": contract.email,
                        "recipient_type": "SIGNER",
                        "has_completed": True,
                        "role": "Client",
                    },
                    {
                        "id": "uN5iUVYeBGYlCoEICqgwuS",
                        "first_name": "Somebody",
                        "last_name": "Of Ours",
                        "email": "legal@ours.example",
                        "recipient_type": "SIGNER",
                        "has_completed": True,
                        "role": "Provider",
                    },
                ],
            },
        }
    ]


def zoho_event(contract: Contract) -> Body:
    """A notification of Zoho Sign: the signer has one full name."""
    return {
        "requests": {
            "request_status": "completed",
            "request_name": contract.reference,
            "request_id": "222008000000016075",
            "request_type_name": contract.kind.upper(),
            "owner_email": "legal@ours.example",
            "org_id": "700000001",
            "notes": contract.legal_name,
            "actions": [
                {
                    "action_type": "SIGN",
                    "action_id": "222008000000016078",
                    "signing_order": 1,
                    "recipient_name": contract.signer,
                    "recipient_email": contract.email,
                    "action_status": "SIGNED",
                },
                {
                    "action_type": "VIEW",
                    "action_id": "222008000000016079",
                    "recipient_name": "Somebody of ours",
                    "recipient_email": "legal@ours.example",
                    "action_status": "VIEWED",
                },
            ],
        },
        "notifications": {
            "performed_by_email": "System Generated",
            "performed_at": 1774951200000,
            "activity": "Document has been completed",
            "operation_type": "RequestCompleted",
        },
    }


def pipedrive_event(contract: Contract) -> Body:
    """A change of a deal, webhooks version 2: ids of organisation and person."""
    return {
        "meta": {
            "action": "change",
            "entity": "deal",
            "entity_id": "123",
            "company_id": "1234567",
            "id": "c8a2e1f0-1b2c-4d3e-8f90-a1b2c3d4e5f6",
            "correlation_id": "0f8c6f0d-7c2b-4a7f-9f5e-1c2d3b4a5968",
            "timestamp": "2026-03-31T10:00:00.000Z",
            "type": "general",
            "version": "2.0",
            "webhook_id": "99",
            "attempt": 1,
        },
        "data": {
            "id": 123,
            "title": "Validation study",
            "status": "won",
            "won_time": "2026-03-31T10:00:00Z",
            "org_id": PIPEDRIVE_ORGANIZATION,
            "person_id": PIPEDRIVE_PERSON,
            "custom_fields": {
                "d4de1c1518b4531717c676029a45911c340390a6": {
                    "type": "varchar",
                    "value": contract.reference,
                }
            },
        },
        "previous": {"status": "open"},
    }


_BY_HAND: Mapping[str, Any] = {
    "purpose": {"constant": "Clinical validation of the device"},
    "data_categories": {"constant": ["clinical images"]},
}

STANDARD = Tool("standard", standard_event, sign_standard)
HUBSPOT = Tool("hubspot", hubspot_event, sign_hubspot, {"credential": "pat-of-the-test"})
DOCUSIGN = Tool("docusign", docusign_event, sign_docusign)
PANDADOC = Tool("pandadoc", pandadoc_event, sign_pandadoc)
ZOHO_SIGN = Tool(
    "zoho-sign",
    zoho_event,
    sign_zoho,
    {
        "mapping": {
            **_BY_HAND,
            "legal_name": "requests.notes",
            "contract.jurisdiction": {"constant": "ES"},
        }
    },
)
PIPEDRIVE = Tool(
    "pipedrive",
    pipedrive_event,
    sign_pipedrive,
    {
        "credential": "api-token-of-the-test",
        "mapping": {
            **_BY_HAND,
            "contract.kind": {"constant": "customer"},
            "contract.reference": "data.custom_fields."
            '"d4de1c1518b4531717c676029a45911c340390a6".value',
        },
    },
)
TOOLS = [STANDARD, HUBSPOT, DOCUSIGN, PANDADOC, ZOHO_SIGN, PIPEDRIVE]
