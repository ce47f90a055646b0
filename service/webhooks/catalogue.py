"""The kinds of connections as data: how each signs, what means "signed", what it says where.

Sources: https://www.standardwebhooks.com; HubSpot, Webhooks API and CRM API v3
(developers.hubspot.com/docs); DocuSign Connect, JSON messages and HMAC
(developers.docusign.com/platform/webhooks/connect); PandaDoc, Webhook Events Reference and
How to Verify Webhook Authenticity (developers.pandadoc.com/docs/webhook-verification); Zoho Sign,
Securing Zoho Sign webhooks with HMAC (help.zoho.com); Pipedrive, Guide for Webhooks v2
(pipedrive.readme.io/docs/guide-for-webhooks-v2).
"""

from collections.abc import Mapping

from models.webhooks import WebhookKind
from service.webhooks.kinds import CLIENT_ROLE, SIGNED_VALUE, Api, Condition, Kind, Lookup
from service.webhooks.mapping import FIELDS
from service.webhooks.verifiers import (
    BasicAuthentication,
    BodyHmac,
    HubSpotV3,
    StandardWebhooks,
)


def _only(items: str, key: str) -> str:
    """Return a path to `key` of the only item of a list; false or null where it isn't the only
    one.
    """
    return f"(({items}) | [1]) == `null` && (({items}) | [0].{key})"


def _signer(items: str, role: str, key: str) -> str:
    """Return a path to `key` of the client's signer: the one in the role, else the only one."""
    # A pipe: a filter right behind a filter would look inside each item.
    in_role = f"({items}) | [?{role}=='{CLIENT_ROLE}']"
    return f"({_only(in_role, key)}) || ({_only(items, key)})"


def _docusign_field(name: str) -> str:
    fields = "data.envelopeSummary.customFields"
    return (
        f"({fields}.textCustomFields[?name=='{name}'].value | [0])"
        f" || ({fields}.listCustomFields[?name=='{name}'].value | [0])"
    )


def _pandadoc_field(name: str) -> str:
    return f"data.metadata.{name} || (data.tokens[?name=='{name}'].value | [0])"


_STANDARD = Kind(
    title="Standard Webhooks (also for internal tools)",
    verifier=StandardWebhooks(),
    carries="everything: `data` has the fields of POST /v1/clients",
    fetches="nothing",
    id_header="webhook-id",
    signed=(Condition("type", (SIGNED_VALUE,)),),
    signed_value="contract.signed",
    marked=False,
    mapping={name: f"data.{name}" for name in sorted(FIELDS)},
)

_HUBSPOT = Kind(
    title="HubSpot, signature version 3",
    verifier=HubSpotV3(),
    carries="the deal's id and its new stage",
    fetches="the deal, its company, its contact",
    batch=True,
    # `eventId` is documented as not unique.
    volatile=("attemptNumber",),
    signed=(
        Condition("subscriptionType", ("deal.propertyChange", "object.propertyChange")),
        Condition("objectTypeId || '0-3'", ("0-3",)),
        Condition("propertyName", ("dealstage",)),
        Condition("propertyValue", (SIGNED_VALUE,)),
    ),
    still_signed=(Condition("fetched.deal.properties.dealstage", (SIGNED_VALUE,)),),
    signed_value="closedwon",
    needs_base_url=True,
    api=Api(
        header="Authorization",
        prefix="Bearer ",
        default_url="https://api.hubapi.com",
        lookups=(
            Lookup(
                "deal",
                "/crm/v3/objects/deals/{id}?associations=companies,contacts",
                "objectId",
                only_properties=True,
            ),
            Lookup(
                "company",
                "/crm/v3/objects/companies/{id}",
                # `deal_to_company` is the primary one.
                "fetched.deal.associations.companies.results[?type=='deal_to_company'].id"
                " || fetched.deal.associations.companies.results[].id",
                only_properties=True,
            ),
            Lookup(
                "contact",
                "/crm/v3/objects/contacts/{id}",
                "fetched.deal.associations.contacts.results[].id",
                only_properties=True,
            ),
        ),
    ),
    mapping={
        "legal_name": "fetched.company.properties.name",
        "purpose": "fetched.deal.properties.sharing_purpose",
        "data_categories": "fetched.deal.properties.data_categories",
        "contract.kind": "fetched.deal.properties.contract_kind",
        "contract.reference": "fetched.deal.properties.contract_reference",
        "contract.signed_on": "fetched.deal.properties.contract_signed_on"
        " || fetched.deal.properties.closedate",
        "contract.ends_on": "fetched.deal.properties.contract_ends_on",
        "contract.jurisdiction": "fetched.company.properties.hs_country_code"
        " || fetched.company.properties.country",
        "contract.signer.first_name": "fetched.contact.properties.firstname",
        "contract.signer.last_name": "fetched.contact.properties.lastname",
        "contract.signer.email": "fetched.contact.properties.email",
    },
)

_DOCUSIGN_SIGNERS = "data.envelopeSummary.recipients.signers"
_DOCUSIGN = Kind(
    title="DocuSign Connect, JSON",
    verifier=BodyHmac("prefix", "x-docusign-signature-", "base64"),
    carries="the envelope with its custom fields and recipients",
    fetches="nothing",
    volatile=("retryCount",),
    signed=(
        Condition("event", ("envelope-completed",)),
        Condition("data.envelopeSummary.status || 'completed'", ("completed",)),
    ),
    mapping={
        "legal_name": _docusign_field("legal_name"),
        "purpose": _docusign_field("purpose"),
        "data_categories": _docusign_field("data_categories"),
        "contract.kind": _docusign_field("contract_kind"),
        "contract.reference": _docusign_field("contract_reference"),
        "contract.signed_on": "data.envelopeSummary.completedDateTime || generatedDateTime",
        "contract.ends_on": _docusign_field("contract_ends_on"),
        "contract.jurisdiction": _docusign_field("jurisdiction"),
        "contract.signer.full_name": _signer(_DOCUSIGN_SIGNERS, "roleName", "name"),
        "contract.signer.email": _signer(_DOCUSIGN_SIGNERS, "roleName", "email"),
    },
)

_PANDADOC_SIGNERS = "data.recipients[?recipient_type!='CC']"
_PANDADOC = Kind(
    title="PandaDoc",
    verifier=BodyHmac("query", "signature", "hex"),
    carries="the document with its metadata, tokens and recipients",
    fetches="nothing",
    batch=True,
    # The id of a delivery comes in a header that the signature does not cover.
    signed=(
        Condition("event", ("document_state_changed",)),
        Condition("data.status", ("document.completed",)),
    ),
    mapping={
        "legal_name": f"{_pandadoc_field('legal_name')}"
        " || (data.tokens[?name=='Client.Company'].value | [0])",
        "purpose": _pandadoc_field("purpose"),
        "data_categories": _pandadoc_field("data_categories"),
        "contract.kind": _pandadoc_field("contract_kind"),
        "contract.reference": _pandadoc_field("contract_reference"),
        "contract.signed_on": "data.date_completed || data.date_modified",
        "contract.ends_on": _pandadoc_field("contract_ends_on"),
        "contract.jurisdiction": _pandadoc_field("jurisdiction"),
        "contract.signer.first_name": _signer(_PANDADOC_SIGNERS, "role", "first_name"),
        "contract.signer.last_name": _signer(_PANDADOC_SIGNERS, "role", "last_name"),
        "contract.signer.email": _signer(_PANDADOC_SIGNERS, "role", "email"),
    },
)

_ZOHO_SIGNERS = "requests.actions[?action_type=='SIGN']"
_ZOHO_SIGN = Kind(
    title="Zoho Sign",
    verifier=BodyHmac("header", "x-zs-webhook-signature", "base64"),
    carries="the request's name and type, and its signers by one full name",
    fetches="nothing",
    signed=(
        Condition("notifications.operation_type", ("RequestCompleted",)),
        Condition("requests.request_status || 'completed'", ("completed",)),
    ),
    mapping={
        "contract.kind": "requests.request_type_name",
        "contract.reference": "requests.request_name",
        "contract.signed_on": "notifications.performed_at || requests.action_time",
        "contract.signer.full_name": _signer(_ZOHO_SIGNERS, "role", "recipient_name"),
        "contract.signer.email": _signer(_ZOHO_SIGNERS, "role", "recipient_email"),
    },
)

_PIPEDRIVE = Kind(
    title="Pipedrive, webhooks version 2",
    verifier=BasicAuthentication(),
    carries="the deal, with the ids of organisation and person",
    fetches="the organisation and the person",
    volatile=("meta.attempt",),
    username="handover",
    signed=(
        Condition("meta.entity", ("deal",)),
        Condition("meta.action", ("change", "create")),
        Condition("data.status", ("won",)),
    ),
    api=Api(
        header="x-api-token",
        prefix="",
        lookups=(
            Lookup("organization", "/api/v2/organizations/{id}", "data.org_id"),
            Lookup("person", "/api/v2/persons/{id}", "data.person_id"),
        ),
    ),
    mapping={
        "legal_name": "fetched.organization.data.name",
        "contract.signed_on": "data.won_time",
        "contract.jurisdiction": "fetched.organization.data.address.country",
        "contract.signer.first_name": "fetched.person.data.first_name",
        "contract.signer.last_name": "fetched.person.data.last_name",
        "contract.signer.email": "fetched.person.data.emails[?primary].value | [0]",
    },
)

KINDS: Mapping[WebhookKind, Kind] = {
    WebhookKind.standard: _STANDARD,
    WebhookKind.hubspot: _HUBSPOT,
    WebhookKind.docusign: _DOCUSIGN,
    WebhookKind.pandadoc: _PANDADOC,
    WebhookKind.zoho_sign: _ZOHO_SIGN,
    WebhookKind.pipedrive: _PIPEDRIVE,
}
