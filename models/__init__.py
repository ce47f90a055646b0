"""The vocabulary of the service as tables, states and their transitions.

Importing this package registers every table, which is what migrations and sessions need.
"""

from models.access_keys import AccessKey, AccessKeyStatus
from models.actors import Actor, ActorKind, ApiToken, Scope
from models.audit import AuditEntry, AuditEvent
from models.base import Table
from models.clients import Client, ClientState, Contract, ContractKind, Profile, Signer
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
from models.records import PasswordForm, Record
from models.stack_outputs import StackOutput
from models.templates import ApprovalStep, TemplateApproval
from models.workers import WorkerRow

__all__ = [
    "AccessKey",
    "AccessKeyStatus",
    "Actor",
    "ActorKind",
    "ApiToken",
    "ApprovalStep",
    "AuditEntry",
    "AuditEvent",
    "CancelMode",
    "Client",
    "ClientState",
    "Contract",
    "ContractKind",
    "EventKind",
    "Failure",
    "IdempotencyKey",
    "Operation",
    "OperationEvent",
    "OperationKind",
    "OperationState",
    "PasswordForm",
    "Priority",
    "Profile",
    "Record",
    "Scope",
    "Signer",
    "StackOutput",
    "Table",
    "TemplateApproval",
    "WorkerRow",
]
