"""The vocabulary of the service as tables, states and their transitions.

Importing this package registers every table, which is what migrations and sessions need.
"""

from models.access_keys import AccessKey, AccessKeyStatus
from models.actors import Actor, ActorKind, ApiToken, Scope
from models.approvals import Approval, ApprovalState, Condition, Decision, Delegation, Verdict
from models.audit import AuditEntry, AuditEvent
from models.base import Table
from models.clients import Client, ClientState, Contract, ContractKind, Profile, Signer
from models.deliveries import (
    DeliveryEvent,
    DeliveryEventKind,
    Mail,
    MailState,
    Receipt,
    ReceiptHow,
    RecordLink,
)
from models.idempotency import IdempotencyKey
from models.operations import (
    CancelMode,
    EventKind,
    Failure,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
    Priority,
)
from models.outgoing import DeliveryState, EventType, FeedEvent, WebhookDelivery, WebhookEndpoint
from models.records import PasswordForm, Record
from models.stack_outputs import StackOutput
from models.templates import ApprovalStep, TemplateApproval
from models.webhooks import (
    WebhookConnection,
    WebhookEvent,
    WebhookEventState,
    WebhookKind,
)
from models.workers import WorkerRow

__all__ = [
    "AccessKey",
    "AccessKeyStatus",
    "Actor",
    "ActorKind",
    "ApiToken",
    "Approval",
    "ApprovalState",
    "ApprovalStep",
    "AuditEntry",
    "AuditEvent",
    "CancelMode",
    "Client",
    "ClientState",
    "Condition",
    "Contract",
    "ContractKind",
    "Decision",
    "Delegation",
    "DeliveryEvent",
    "DeliveryEventKind",
    "DeliveryState",
    "EventKind",
    "EventType",
    "Failure",
    "FeedEvent",
    "IdempotencyKey",
    "Mail",
    "MailState",
    "Operation",
    "OperationEvent",
    "OperationKind",
    "OperationState",
    "PasswordForm",
    "Priority",
    "Profile",
    "Receipt",
    "ReceiptHow",
    "Record",
    "RecordLink",
    "Scope",
    "Signer",
    "StackOutput",
    "Table",
    "TemplateApproval",
    "Verdict",
    "WebhookConnection",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookEventState",
    "WebhookKind",
    "WorkerRow",
]
