"""`/v1/templates`: the template of the record as a controlled document (SP-08, SP-29)."""

from fastapi import APIRouter

from models.database import transaction
from service import problems
from service.http.dependencies import Reader, ServicesDep
from service.http.documents import ApprovalDocument, TemplateDocument, TemplateList
from service.http.openapi import documented
from service.templates import TemplateState, template_states

router = APIRouter(prefix="/v1/templates", tags=["records"])


@router.get(
    "",
    summary="List the templates",
    responses=documented(problems.INSUFFICIENT_SCOPE, problems.INVALID_PARAMETER),
)
def list_templates(services: ServicesDep, _caller: Reader) -> TemplateList:
    """Return every version of the record's template, who signed it, and which one is in force."""
    with transaction(services.database, write=False) as session:
        states = template_states(session, services.settings.zone)
    return TemplateList(items=[template_document(state) for state in states])


def template_document(state: TemplateState) -> TemplateDocument:
    """Return the document of one version."""
    return TemplateDocument(
        version=state.version.version,
        changes=state.version.changes,
        draft=state.version.draft,
        chosen=state.chosen,
        changed=state.changed,
        due=state.due,
        approvals=[
            ApprovalDocument(
                step=approval.step,
                role=approval.role,
                actor=approval.by or None,
                on=approval.on,
                commit=approval.commit,
            )
            for approval in state.version.approvals
        ],
        digest=state.version.digest,
    )
