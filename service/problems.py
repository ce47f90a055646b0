"""Every problem the service answers with, as one table, and the exception that carries one.

A problem type has a stable URI, `/problems/<name>`, at which the service serves the entry of this
table as a page (RFC 9457, section 3.1.1). Titles and meanings never change with the occurrence; the
`detail` does.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem: its name in the URI, HTTP status, title, and what to do about it."""

    name: str
    status: int
    title: str
    remedy: str

    @property
    def uri(self) -> str:
        return f"/problems/{self.name}"


@dataclass(frozen=True)
class FieldError:
    """One offending field, as a dotted path into the request (`contract.signer.last_name`)."""

    field: str
    reason: str
    suggestion: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Problem(Exception):
    """An answer that is not the one wished for; the HTTP layer renders it as RFC 9457.

    `detail` says what happened to which thing; it never holds a secret. `errors` lists fields;
    `members` are extension members, such as links; `headers` go on the answer.
    """

    def __init__(
        self,
        problem: ProblemType,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{problem.name}: {detail}")
        self.problem = problem
        self.detail = detail
        self.errors = tuple(errors)
        self.members = dict(members or {})
        self.headers = dict(headers or {})


def describe(errors: Sequence[FieldError]) -> str:
    """Return the offending fields and reasons as one plain text."""
    listed = "; ".join(f"{error.field}: {error.reason.removesuffix('.')}" for error in errors)
    return f"Not acceptable: {listed}."


INVALID_REQUEST = ProblemType(
    "invalid-request",
    422,
    "The request has fields that are missing, unknown or not acceptable",
    "Correct each field listed under `errors` and send the request again. Nothing was made.",
)
MALFORMED_BODY = ProblemType(
    "malformed-body",
    400,
    "The body is not valid JSON",
    "Send one JSON object encoded in UTF-8.",
)
INVALID_PARAMETER = ProblemType(
    "invalid-parameter",
    422,
    "A header or query parameter is not acceptable",
    "Correct the parameter named in `errors`.",
)
INVALID_PAGE_TOKEN = ProblemType(
    "invalid-page-token",
    400,
    "The page token is not one that this service gave for this list",
    "Leave `page_token` out to start anew; keep the filters the same from page to page.",
)
UNAUTHENTICATED = ProblemType(
    "unauthenticated",
    401,
    "A valid bearer token is needed",
    "Send `Authorization: Bearer <token>` with a token that is neither expired nor revoked.",
)
INSUFFICIENT_SCOPE = ProblemType(
    "insufficient-scope",
    403,
    "The token lacks a scope that this call needs",
    "Ask an administrator for a token with the scope named in `scope`.",
)
SLUG_OUT_OF_REACH = ProblemType(
    "slug-out-of-reach",
    403,
    "The token may not open an area under this slug",
    "Use a token that is not limited to other slugs.",
)
NOT_FOUND = ProblemType(
    "not-found",
    404,
    "There is no such thing here",
    "Check the address. Things outside the reach of the token are answered in the same way.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "This address does not know the method",
    "Use one of the methods in the `Allow` header.",
)
NOT_ACCEPTABLE = ProblemType(
    "not-acceptable",
    406,
    "None of the accepted media types can be answered here",
    "Accept `application/json`, or `application/pdf` where a record is made.",
)
SLUG_TAKEN = ProblemType(
    "slug-taken",
    409,
    "The slug belongs to another legal entity",
    "A slug belongs to its legal entity for ever, whatever its case: give another `slug`.",
)
CLIENT_EXISTS = ProblemType(
    "client-exists",
    409,
    "The client already has an area",
    "Follow the links to the client and to its operation.",
)
CLIENT_CLOSED = ProblemType(
    "client-closed",
    409,
    "The client's area is closed",
    "POST to the `reopen` link to open it again under the same slug, with a new key.",
)
CLIENT_NOT_CLOSED = ProblemType(
    "client-not-closed",
    409,
    "Only a closed or failed client can be reopened",
    "Follow the link to the client.",
)
CLIENT_NOT_OPEN = ProblemType(
    "client-not-open",
    409,
    "Only a client with an open area can be changed",
    "Follow the link to the client, and reopen it with the new data if it is closed or failed.",
)
CLIENT_NOT_SUSPENDED = ProblemType(
    "client-not-suspended",
    409,
    "The client is not suspended",
    "Follow the link to the client. If AWS denies its user access all the same, somebody cut it "
    "by `handover key off`: run `handover reconcile`, or suspend the client and resume it.",
)
CLIENT_SUSPENDED = ProblemType(
    "client-suspended",
    409,
    "The client is suspended",
    "Resume the client first. If its key has leaked, rotate with `now=true`: the old keys are off "
    "for good, and the new one works as soon as the client is resumed.",
)
ROTATION_IN_OVERLAP = ProblemType(
    "rotation-in-overlap",
    409,
    "The last rotation is not over: the client may use either key",
    "Wait until the time in `until`, or rotate with `now=true`, which ends both keys at once.",
)
VALIDITY_ENDED = ProblemType(
    "validity-ended",
    409,
    "The client's access has reached the end of its validity",
    "Give the client another `valid_until` (PATCH) if its contract permits, then resume it.",
)
ACCESS_UNCONFIRMED = ProblemType(
    "access-unconfirmed",
    503,
    "The wish is written down, and AWS has not confirmed it yet",
    "The service tries on by itself until AWS confirms; send the request again to see. If a leaked "
    "key can't wait, run `handover key off`, or switch the key off in the AWS console.",
)
OPERATION_IN_PROGRESS = ProblemType(
    "operation-in-progress",
    409,
    "Another operation on this client is not finished",
    "Follow the `operation` link, wait until it ends, then send the request again.",
)
OPERATION_FAILED = ProblemType(
    "operation-failed",
    502,
    "The operation ended without success",
    "`next_step` says what to do; the `operation` link has the whole story.",
)
OPERATION_FINISHED = ProblemType(
    "operation-finished",
    409,
    "The operation has ended already",
    "Follow the `operation` link to see how; a closed area can be reopened, an open one closed.",
)
OPERATION_NOT_RETRIABLE = ProblemType(
    "operation-not-retriable",
    409,
    "Only a client's last operation can be run again, and only if it failed",
    "Follow the `operation` link to the client's last operation; make a new request otherwise.",
)
APPROVAL_REQUIRED = ProblemType(
    "approval-required",
    409,
    "This needs an approval that nobody was asked for",
    "Send it as a new request: an opening or a reopening (of a closed or failed area) asks for the "
    "approval and waits for it. Nothing was changed.",
)
NOBODY_CAN_APPROVE = ProblemType(
    "nobody-can-approve",
    409,
    "The request needs an approval that nobody can give",
    "Give the roles in `missing` to active people other than the requester (`handover actor add "
    "--role`), then send the request again. Nothing was made.",
)
MAY_NOT_DECIDE = ProblemType(
    "may-not-decide",
    403,
    "This approval is for others to decide",
    "Ask somebody who holds the role named in the detail, or get a dated delegation of it.",
)
APPROVAL_ENDED = ProblemType(
    "approval-ended",
    409,
    "The approval has been decided or has ended",
    "Follow the links to the approval and to its operation.",
)
MAY_NOT_DELEGATE = ProblemType(
    "may-not-delegate",
    403,
    "The role is for others to give",
    "Ask somebody who holds the role, or an administrator.",
)
CONTRACT_NOT_SIGNED = ProblemType(
    "contract-not-signed",
    409,
    "The contract is not signed yet",
    "Send the request when the contract is signed (SP-050-003). Nothing was made.",
)
CONTRACT_ENDED = ProblemType(
    "contract-ended",
    409,
    "The contract has ended",
    "Send the contract that is in force. Nothing was made.",
)
QUOTA_REACHED = ProblemType(
    "user-quota-reached",
    409,
    "The AWS account holds as many users as it may",
    "Close areas that are no longer needed or add an account. Nothing was made.",
)
IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "The idempotency key was used for a different request",
    "Use a new key for a new request; repeat the old request unchanged to get its operation.",
)
RECORD_NOT_READY = ProblemType(
    "record-not-ready",
    409,
    "The client has no record yet",
    "Wait for the running operation, or open the area again if it failed.",
)
RECORD_GONE = ProblemType(
    "record-gone",
    410,
    "The record can no longer be printed",
    "The key is dead and its secret erased. Reopen the area to get a new key and the next record.",
)
DELIVERY_NOT_DEAD = ProblemType(
    "delivery-not-dead",
    409,
    "Only a dead delivery can be replayed",
    "Wait while it is pending; read `/v1/events` for what was delivered or cancelled.",
)
PRECONDITION_FAILED = ProblemType(
    "precondition-failed",
    412,
    "The client has changed since it was read",
    "Read the client again and repeat the request with its new `ETag` in `If-Match`.",
)
PRECONDITION_REQUIRED = ProblemType(
    "precondition-required",
    428,
    "The change has to say which state of the client it is based on",
    "Read the client and send its `ETag` in `If-Match`, so that nobody's change is lost.",
)
WEBHOOK_REFUSED = ProblemType(
    "webhook-refused",
    401,
    "The delivery is not genuine, or comes to no connection",
    "Check the connection's address and secret in the tool, and the clocks of both sides.",
)
TOO_MANY_REQUESTS = ProblemType(
    "too-many-requests",
    429,
    "More requests came than are taken in this time",
    "Send it again after the seconds in `Retry-After`.",
)
CONNECTION_EXISTS = ProblemType(
    "connection-exists",
    409,
    "A webhook connection has this name already",
    "Choose another name, or change the connection that is there.",
)
EVENT_SETTLED = ProblemType(
    "event-settled",
    409,
    "The webhook event is settled, or being worked on",
    "Follow the links to the event and to the operation that it began.",
)
BODY_TOO_LARGE = ProblemType(
    "body-too-large",
    413,
    "The body is too large",
    "Send less. No request of this service needs more than the limit.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "The body's media type is not supported",
    "Send `Content-Type: application/json`.",
)
BASE_URL_MISSING = ProblemType(
    "base-url-missing",
    409,
    "The service does not know the address under which it is reached",
    "Set `HANDOVER_BASE_URL` to the address that the signer's browser can reach, and try again.",
)
RECIPIENT_NOT_ALLOWED = ProblemType(
    "recipient-not-allowed",
    409,
    "The contract's e-mail address is not in an allowed domain",
    "Correct the signer's address (PATCH), or hand the link over by another channel. Nothing was "
    "sent.",
)
LINK_NOT_VALID = ProblemType(
    "link-not-valid",
    404,
    "The link is wrong, has expired or was used",
    "Ask whoever sent the link for a new one; a link works once, for a limited time.",
)
CODE_SHOWN = ProblemType(
    "code-shown",
    409,
    "The code of this record was shown before",
    "Send the request with `renew=true` for a new code; documents made before keep the old one.",
)
CODE_NOT_USED = ProblemType(
    "code-not-used",
    409,
    "The record opens without a code",
    "Set `HANDOVER_PASSWORD_RULE` to `signer-name-and-code` for the records to come.",
)
AREA_UNAVAILABLE = ProblemType(
    "area-unavailable",
    503,
    "The state of the area could not be read",
    "Look at `/readyz`, then try again.",
)
DATABASE_UNAVAILABLE = ProblemType(
    "database-unavailable",
    503,
    "The database does not answer",
    "Look at `/readyz`, then try again; nothing was half-written.",
)
STORAGE_FULL = ProblemType(
    "storage-full",
    503,
    "The disk of the database is full",
    "Free space there, then send the request again; nothing was half-written. To cut a key "
    "meanwhile: `handover key off`.",
)
STORAGE_LOW = ProblemType(
    "storage-low",
    503,
    "Too little space is free to make a key",
    "Free space, or lower HANDOVER_DISK_FLOOR_MB, then send the request again. Nothing was made. "
    "Closing and suspending go on meanwhile, and `rotate?now=true` cuts a leaked key at once.",
)
DATABASE_READ_ONLY = ProblemType(
    "database-read-only",
    503,
    "The database takes no changes",
    "Let the service's user write to the database, and see that it is not a standby, then send "
    "the request again; nothing was half-written.",
)
SEALING_KEYS_LOST = ProblemType(
    "sealing-keys-lost",
    503,
    "The file with the sealing keys is missing or can't be used",
    "Put the file that HANDOVER_KEYRING_FILE names back from its backup, readable for its owner "
    "only, and restart the service if it was started without it. Nothing was made. Closing and "
    "suspending go on meanwhile, and `rotate?now=true` cuts a leaked key at once.",
)
QUEUE_FULL = ProblemType(
    "queue-full",
    429,
    "More operations wait than the service takes on",
    "Wait as long as `Retry-After` says, then send the request again. Nothing was made. Closing, "
    "suspending and cutting keys go on meanwhile. Operators: see `GET /v1/queue`; add a worker, or "
    "raise HANDOVER_QUEUE_LIMIT.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "Something went wrong inside the service",
    "Report the request id in `instance` to the operators: it is in their log.",
)

CATALOGUE: Mapping[str, ProblemType] = {
    problem.name: problem
    for problem in list(globals().values())
    if isinstance(problem, ProblemType)
}
