"""`PATCH /v1/clients/{slug}`: change what the client's record says."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from models.database import transaction
from service import problems
from service.freezing import signed_contract
from service.http.dependencies import ServicesDep, Writer
from service.http.documents import ClientDocument
from service.http.guards import json_only
from service.http.negotiation import IfMatch
from service.http.openapi import documented
from service.http.parameters import Slug
from service.http.preconditions import client_for_change
from service.http.reading import client_document
from service.http.waiting import client_response
from service.intake import validate_update
from service.requests import UpdateClient
from service.updates import refuse_unless_open, update

router = APIRouter(prefix="/v1/clients", tags=["clients"], dependencies=[Depends(json_only)])


@router.patch(
    "/{slug}",
    summary="Change a client's data",
    response_model=ClientDocument,
    responses=documented(
        problems.NOT_FOUND,
        problems.INSUFFICIENT_SCOPE,
        problems.MALFORMED_BODY,
        problems.BODY_TOO_LARGE,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.INVALID_REQUEST,
        problems.CONTRACT_NOT_SIGNED,
        problems.CONTRACT_ENDED,
        problems.APPROVAL_REQUIRED,
        problems.OPERATION_IN_PROGRESS,
        problems.CLIENT_CLOSED,
        problems.CLIENT_NOT_OPEN,
        problems.PRECONDITION_FAILED,
        problems.PRECONDITION_REQUIRED,
    ),
)
def update_client(
    slug: Slug,
    body: UpdateClient,
    services: ServicesDep,
    caller: Writer,
    if_match: IfMatch = None,
) -> Response:
    """Change signer, contact, language, purpose or dates; the record gets its next version.

    `If-Match` is required. The key stays the same, and so does the record's number. The new version
    is made under the template in force, so that an empty change renews a record made under an older
    one. Where nothing differs nothing is made. `valid_until` is printed; AWS does not know it.
    """
    with transaction(services.database) as session:
        client = client_for_change(session, caller, slug, if_match, required=True)
        refuse_unless_open(session, client)
        contract, signer = signed_contract(session, client)
        intent = validate_update(
            body,
            client,
            contract,
            signer,
            services.settings,
            services.today(),
            services.records.can_print,
        )
        update(session, services.records, client, contract, signer, intent, caller.requester)
        document = client_document(session, client)
    return client_response(document, 200, {})
