"""The JSON documents that the API answers with; no field of any of them can hold a secret."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.access_keys import AccessKeyStatus
from models.clients import ClientState, ContractKind, Profile
from models.operations import EventKind, OperationKind, OperationState
from models.records import PasswordForm
from models.templates import ApprovalStep


class Document(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class Progress(Document):
    """How many of the resources are done; `total` is 0 while it is unknown."""

    done: int
    total: int


class FailureDocument(Document):
    """Why an operation failed, what was undone, and what to do next."""

    code: str = Field(examples=["LimitExceeded"])
    detail: str
    rolled_back: list[str]
    next_step: str | None


class RemainingDocument(Document):
    """What still lies under the client's prefix, as last counted."""

    objects: int
    bytes: int
    counted_at: datetime | None


class OperationDocument(Document):
    """A wish to change an area, and where it stands."""

    id: str = Field(examples=["0f8c6f0d7c2b4a7f9f5e1c2d3b4a5968"])
    kind: OperationKind
    state: OperationState
    client: str = Field(description="The client's slug.", examples=["ABC-LLC"])
    step: str | None
    progress: Progress
    failure: FailureDocument | None
    reason: str | None
    requested_by: str = Field(description="Row id of the actor.")
    attempts: int = Field(description="How often a worker took this run up.")
    run: int = Field(description="Counts from 1; a retry or another worker makes the next one.")
    waiting_for: str | None = Field(description="What it waits for, such as AWS.")
    deadline_at: datetime | None = Field(
        description="When its time is up, counted from when a worker first takes this run up; "
        "before that it waits for as long as it takes, and can be cancelled at once. What undoes "
        "a failed one has as much time again."
    )
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    remaining: RemainingDocument | None = Field(
        default=None, description="For a reopening: what still lay there when it was asked for."
    )
    links: dict[str, str]


class OperationPage(Document):
    """One page of operations, newest first."""

    items: list[OperationDocument]
    next_page_token: str | None


class OperationEventDocument(Document):
    """One event of an operation's stream."""

    sequence: int
    at: datetime
    kind: EventKind
    data: dict[str, Any]


class SignerDocument(Document):
    """Who signed the contract."""

    first_name: str | None
    last_name: str | None
    full_name: str | None
    email: str


class ContractDocument(Document):
    """The contract under which the client is served now."""

    kind: ContractKind
    our_role: str
    reference: str
    signed_on: date
    ends_on: date | None
    jurisdiction: str
    signer: SignerDocument | None


class KeyDocument(Document):
    """One generation of the client's access key; the secret is in the record only."""

    key_id: str | None = Field(examples=["AKIAIOSFODNN7EXAMPLE"])
    generation: int
    status: AccessKeyStatus
    created_at: datetime
    proven_at: datetime | None
    turn_off_at: datetime | None = Field(description="When its overlap after a rotation ends.")
    delete_at: datetime | None = Field(description="When it is deleted, being off by then.")
    ended_at: datetime | None


class RecordDocument(Document):
    """One version of one record T-050-003."""

    number: str = Field(examples=["T-050-003-2026-0001"])
    version: int
    template_version: str
    draft: bool = Field(description="Whether the template was not approved yet.")
    issued_at: datetime
    issued_by: str
    key_id: str | None
    key_generation: int
    password_form: PasswordForm
    password_rule: str = Field(
        description="The form of the password, in the record's language; never its value."
    )


class DownloadsDocument(Document):
    """How often a version was handed out, and when last."""

    count: int
    last_at: datetime | None


class RecordVersionDocument(RecordDocument):
    """One version of one record, with what became of it; this outlives the key and its secret."""

    sha256: str | None = Field(
        description="Of the document as first issued, whatever its encryption; null before that."
    )
    downloads: DownloadsDocument


class RecordList(Document):
    """Versions of records, newest first."""

    items: list[RecordVersionDocument]
    links: dict[str, str]


class ApprovalDocument(Document):
    """A signature on a version of the template."""

    step: ApprovalStep
    role: str = Field(examples=["JD-003"])
    actor: str | None = Field(description="Row id of who signed; null if the program tells it.")
    on: date
    commit: str = Field(description="The verified commit that is the signature.")


class TemplateDocument(Document):
    """A version of the template of T-050-003, and who has signed it."""

    version: str
    changes: str
    draft: bool
    chosen: bool = Field(description="Whether new records are made under it.")
    changed: bool = Field(description="Whether it says something else than what was signed.")
    due: ApprovalStep | None = Field(description="The step to be signed next.")
    approvals: list[ApprovalDocument]
    digest: str = Field(description="SHA-256 of what the version says.")


class TemplateList(Document):
    """All versions of the template, oldest first."""

    items: list[TemplateDocument]


class AreaDocument(Document):
    """Where the client's data lie, and under which user."""

    bucket: str
    prefix: str
    upload_path: str
    region: str
    user_name: str


class SuspendedDocument(Document):
    """That no key of the client may work, since when and why."""

    at: datetime
    reason: str | None
    cut_at: datetime | None = Field(description="When AWS confirmed it; null before that.")


class HeldKeyDocument(Document):
    """A key as AWS holds it."""

    key_id: str = Field(examples=["AKIAIOSFODNN7EXAMPLE"])
    status: Literal["Active", "Inactive"]


class KeyReport(Document):
    """A key and its age; the secret is in the record only."""

    client: str = Field(examples=["ABC-LLC"])
    key_id: str = Field(examples=["AKIAIOSFODNN7EXAMPLE"])
    generation: int
    status: AccessKeyStatus
    works: bool = Field(description="Whether it is to work: active, and its client not suspended.")
    created_at: datetime
    age_days: int
    turn_off_at: datetime | None = Field(description="When its overlap after a rotation ends.")
    delete_at: datetime | None = Field(description="When it is deleted, being off by then.")
    links: dict[str, str]


class KeyPage(Document):
    """One page of keys, by client and generation."""

    items: list[KeyReport]
    next_page_token: str | None


class AccessDocument(Document):
    """What AWS confirms of a client's access, read back after it was changed."""

    client: str = Field(examples=["ABC-LLC"])
    state: ClientState
    suspended: SuspendedDocument | None
    user_name: str
    user_exists: bool = Field(description="False where AWS has no such user: then no key works.")
    denied: bool = Field(description="Whether the user is explicitly denied everything.")
    keys: list[HeldKeyDocument]
    cut: bool = Field(description="Whether nobody can use any key of the client.")
    confirmed_at: datetime
    links: dict[str, str]


class ClientSummary(Document):
    """A client in a list."""

    slug: str = Field(examples=["ABC-LLC"])
    legal_name: str = Field(examples=["ABC LLC"])
    state: ClientState
    profile: Profile
    contract_reference: str | None
    valid_until: date | None
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]


class ClientPage(Document):
    """One page of clients, ordered by slug."""

    items: list[ClientSummary]
    next_page_token: str | None


class ClientDocument(Document):
    """All that is known of a client, never a secret."""

    slug: str = Field(examples=["ABC-LLC"])
    legal_name: str = Field(examples=["ABC LLC"])
    state: ClientState
    purpose: str
    data_categories: list[str]
    special_category: bool
    classification: str = Field(examples=["Personal / Confidential"])
    profile: Profile
    language: str
    valid_until: date | None
    owner: str = Field(description="Row id of the actor who answers for the client.")
    suspended: SuspendedDocument | None
    contract: ContractDocument | None
    area: AreaDocument
    keys: list[KeyDocument]
    records: list[RecordDocument]
    outputs: dict[str, Any]
    remaining: RemainingDocument | None
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]

    @property
    def etag(self) -> str:
        """Return the entity tag: it changes when anything in the document does, keys included."""
        return f'"{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]}"'


class PlannedChangeDocument(Document):
    """What would be done to one resource."""

    operation: str = Field(examples=["create"])
    type: str = Field(examples=["aws:iam/user:User"])
    name: str = Field(examples=["user"])
    urn: str


class PreviewDocument(Document):
    """What opening or closing would do, resource by resource; nothing was changed."""

    of: Literal["open", "close"]
    changes: list[PlannedChangeDocument]


class DriftItem(Document):
    """A resource that differs in AWS from what the stack says."""

    kind: Literal["changed", "missing"]
    type: str
    name: str
    urn: str
    properties: Sequence[str]


class DriftDocument(Document):
    """What AWS holds against what the stack says; nothing was changed."""

    in_step: bool
    drift: list[DriftItem]


class AuditEventDocument(Document):
    """One link of the audit chain: ids and codes only."""

    sequence: int
    at: datetime
    actor_id: str
    action: str = Field(examples=["client.open_requested"])
    object_type: str
    object_id: str
    client_id: str | None
    source_ip: str | None
    request_id: str | None
    data: dict[str, Any]
    previous_hash: str
    hash: str


class AuditPage(Document):
    """One page of the audit chain, oldest first."""

    items: list[AuditEventDocument]
    next_page_token: str | None


class ChainDocument(Document):
    """Whether the audit chain is whole."""

    ok: bool
    events: int
    first_bad_sequence: int | None
    head_hash: str


class Check(Document):
    """One thing that has to be well for the service to do its work."""

    name: str = Field(examples=["database"])
    ok: bool
    detail: str


class Alive(Document):
    """The process answers."""

    status: Literal["alive"]


class Readiness(Document):
    """Whether the service can do its work, check by check."""

    ready: bool
    checks: list[Check]


class FieldErrorDocument(Document):
    """One offending field."""

    field: str = Field(examples=["contract.signer.last_name"])
    reason: str = Field(examples=["is required"])


class ProblemDocument(Document):
    """An answer that is not the one wished for (RFC 9457)."""

    type: str = Field(examples=["/problems/slug-taken"])
    title: str
    status: int
    detail: str
    instance: str = Field(examples=["urn:handover:request:9f2c41c8b7a94d0fb1f0c6a6c3f0e2d1"])
    errors: list[FieldErrorDocument] | None = None
