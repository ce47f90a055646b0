"""AWS's refusals in plain words."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from engine.provider import Properties, ProviderError

CREDENTIALS = (
    "AWS does not accept the credentials in use; check that they are whole, active and not expired"
)
BUSY = "AWS asks to slow down or is out of order for the moment; the same request may work later"
GONE = "it is gone from AWS or was never there; refresh the stack to see what AWS holds"
UNREACHABLE = "AwsUnreachable"
"""Code of a call that AWS did not answer at all, or whose answer was lost."""
THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
"""Refusals for having called too often: the call was surely not carried out."""
_IN_THE_WAY = frozenset(
    {
        "ConcurrentModification",
        "EntityTemporarilyUnmodifiable",
        "OperationAborted",
        "PriorRequestNotComplete",
    }
)
_OUT_OF_ORDER = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceFailure",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        # What botocore and HEAD requests tell where an answer has no code: the HTTP status.
        "500",
        "502",
        "503",
        "504",
    }
)
TRANSIENT = THROTTLED | _IN_THE_WAY | _OUT_OF_ORDER | {UNREACHABLE}
"""Codes of failures that pass by themselves: the same request may succeed later. The one list."""
AWAY = _OUT_OF_ORDER | {UNREACHABLE}
"""Those of them that say that AWS is not there. One that throttles, or is busy with the same thing,
answers."""
ADVICE = {
    "AccessDenied": "the credentials in use may not do this; have that action permitted to them",
    "AccessDeniedException": "the credentials in use may not do this; have it permitted to them",
    "EntityAlreadyExists": (
        "something of that name is there already and does not belong to this stack; "
        "choose another name, or remove or import what is there"
    ),
    "BucketAlreadyExists": "another AWS account owns a bucket of that name; choose another name",
    "BucketAlreadyOwnedByYou": "this account has a bucket of that name; import it into the stack",
    "BucketNotEmpty": "the bucket still holds objects or versions; empty it first",
    "DeleteConflict": "something is still attached to it; remove that first",
    "LimitExceeded": "an AWS quota is reached; remove what is not used or have the quota raised",
    "MalformedPolicyDocument": "AWS cannot read the policy; correct it",
    "NoSuchEntity": GONE,
    "NoSuchBucket": GONE,
    "InvalidAction": "this AWS does not have the operation; the local stand-in lacks a few",
    "InvalidClientTokenId": CREDENTIALS,
    "InvalidAccessKeyId": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "ExpiredToken": CREDENTIALS,
    "UnrecognizedClientException": CREDENTIALS,
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it right",
    **dict.fromkeys(TRANSIENT, BUSY),
}


def code_of(error: ClientError) -> str:
    """AWS's own code of the refusal; HEAD requests carry the HTTP status instead."""
    return error.response.get("Error", {}).get("Code", "Unknown")


def status_of(error: ClientError) -> int:
    """The HTTP status of the refusal, 0 where there is none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _may_be_our_own(error: ClientError) -> bool:
    """Whether what collides may have been made by an earlier attempt of the very same call."""
    retries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    return code_of(error) == "EntityAlreadyExists" and retries > 0


def is_unreached(error: BotoCoreError) -> bool:
    """Tell whether AWS was not reached or its answer was lost: nobody knows what it did."""
    return isinstance(error, HTTPClientError | BotoConnectionError)


def provider_error(
    error: ClientError | BotoCoreError,
    subject: str,
    partial: tuple[str, Properties] | None = None,
) -> ProviderError:
    """The error as the engine tells it: what was asked for which thing, why not, what to do.

    Args:
        subject: type and name of the resource.
        partial: id and outputs, if the resource was made before the call failed.
    """
    if isinstance(error, ClientError):
        return _refusal(error, subject, partial)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ProviderError(
            "CredentialsMissing",
            f"{subject}: no AWS credentials are given: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            partial=partial,
        )
    if is_unreached(error):
        sentence = f"AWS was not reached or did not answer ({UNREACHABLE}): {error}"
        return ProviderError(
            UNREACHABLE,
            f"{subject}: {sentence}; see that the endpoint is up",
            retryable=True,
            partial=partial,
        )
    return ProviderError(
        type(error).__name__,
        f"{subject}: the request could not be made: {error}",
        partial=partial,
    )


def _refusal(
    error: ClientError, subject: str, partial: tuple[str, Properties] | None
) -> ProviderError:
    code = code_of(error)
    advice = ADVICE.get(code)
    said = error.response.get("Error", {}).get("Message", "").rstrip(".") or "no reason given"
    return ProviderError(
        code,
        f"{subject}: AWS refused {error.operation_name}: {said} ({code})"
        + (f"; {advice}" if advice else ""),
        retryable=advice == BUSY or status_of(error) >= 500 or _may_be_our_own(error),
        partial=partial,
    )
