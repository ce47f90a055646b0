"""Checks at the door: what a request for an area must say, before anything is written or made in
AWS.

`service.requests` checks the shapes of the fields; here is what needs the settings, the date and
the rules of the procedure. Every offending field is named at once. Malformed fields are 422; a
well-formed request that a gate refuses is 409.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from pydantic import BaseModel

from models.clients import Client, Contract, Signer
from models.slugs import SlugError, slug_for, validate_slug
from pdf.password import PasswordFormError, SignerName, record_password
from service import problems
from service.approvals.conditions import conditions_of
from service.intents import contract_intent
from service.problems import FieldError, Problem, ProblemType, describe
from service.requests import (
    ContractRequest,
    ContractUpdate,
    CreateClient,
    ReopenClient,
    UpdateClient,
)
from service.settings import Settings
from service.updates import UpdateIntent
from service.wishes import ContractIntent, OpenIntent, ReopenIntent, SignerIntent

CanPrint = Callable[[str], list[str]]
"""Returns the characters of a text that no font of the record prints."""


@dataclass(frozen=True)
class _Finding:
    """One reason to refuse: which problem it is, and the field."""

    kind: ProblemType
    error: FieldError


_Findings = Iterator[_Finding]


def validate(request: CreateClient, today: date, can_print: CanPrint) -> OpenIntent:
    """Return the intent of a request, or raise one Problem that lists all offending fields.

    `today` is the date in the organisation's time zone. What needs an approval is not refused
    here: `service.approvals.asking` asks for it.
    """
    slug, findings = _slug(request)
    contract = _intent_of(request.contract)
    findings += _printable("legal_name", request.legal_name, can_print)
    findings += _contract(contract, today, can_print)
    findings += _validity(request.valid_until, request.contract.ends_on, today)
    findings += _printable("purpose", request.purpose, can_print)
    findings += _categories(request.data_categories, can_print)
    _refuse(findings)
    return OpenIntent(
        legal_name=request.legal_name,
        slug=slug,
        purpose=request.purpose,
        data_categories=tuple(dict.fromkeys(request.data_categories)),
        profile=request.profile,
        language=request.language,
        valid_until=request.valid_until,
        contract=contract,
        special_category=request.special_category,
    )


def validate_reopen(
    request: ReopenClient,
    client: Client,
    contract: Contract,
    today: date,
    can_print: CanPrint,
) -> ReopenIntent:
    """Return the intent to reopen; the stored contract passes the gates again unless a new one is
    given.

    A `valid_until` that has passed meanwhile has to be given anew.
    """
    given = _intent_of(request.contract) if request.contract else None
    valid_until = _given_or(request, "valid_until", client.valid_until)
    findings: list[_Finding] = []
    if given is not None:
        findings += _contract(given, today, can_print)
    else:
        findings += _gates(contract, today)
    findings += _validity(valid_until, given.ends_on if given else contract.ends_on, today)
    findings += _printable("purpose", request.purpose or "", can_print)
    findings += _categories(request.data_categories or [], can_print)
    _refuse(findings)
    return ReopenIntent(
        contract=given,
        purpose=request.purpose or client.purpose,
        data_categories=tuple(request.data_categories or client.data_categories),
        profile=request.profile or client.profile,
        language=request.language or client.language,
        valid_until=valid_until,
        special_category=client.special_category
        if request.special_category is None
        else request.special_category,
    )


def validate_update(
    request: UpdateClient,
    client: Client,
    contract: Contract,
    signer: Signer,
    settings: Settings,
    today: date,
    can_print: CanPrint,
) -> UpdateIntent:
    """Return the intent to change a client's data; what is stored passes the gates again.

    A `valid_until` that has passed meanwhile has to be given anew. Where the area needed an
    approval, what was approved for which purpose changes by a reopening only.
    """
    wanted = _contract_after(request.contract, contract_intent(contract, signer))
    valid_until = _given_or(request, "valid_until", client.valid_until)
    findings = list(_contract(wanted, today, can_print))
    findings += _validity(valid_until, wanted.ends_on, today)
    findings += _printable("purpose", request.purpose or "", can_print)
    findings += _categories(request.data_categories or [], can_print)
    if conditions_of(settings, client, contract):
        findings += _as_approved(request, client)
    _refuse(findings)
    categories = request.data_categories or client.data_categories
    return UpdateIntent(
        contract=wanted,
        purpose=request.purpose or client.purpose,
        data_categories=tuple(dict.fromkeys(categories)),
        language=request.language or client.language,
        valid_until=valid_until,
    )


def refuse_outdated(client: Client, contract: Contract, today: date) -> None:
    """Raise the Problem of the gates that depend on the date, for a client that waited."""
    findings = list(_gates(contract, today))
    findings += _validity(client.valid_until, contract.ends_on, today)
    _refuse(findings)


def _as_approved(request: UpdateClient, client: Client) -> _Findings:
    for field in ("purpose", "data_categories"):
        wanted = getattr(request, field)
        if wanted is not None and wanted != getattr(client, field):
            reason = "is part of what was approved for this area"
            yield _gate(problems.APPROVAL_REQUIRED, field, reason)


def _contract_after(update: ContractUpdate | None, stored: ContractIntent) -> ContractIntent:
    if update is None:
        return stored
    signer = stored.signer
    if update.signer is not None:
        names = signer if not update.signer.named else update.signer
        signer = SignerIntent(
            email=update.signer.email or signer.email,
            first_name=names.first_name,
            last_name=names.last_name,
            full_name=names.full_name,
        )
    return replace(stored, ends_on=_given_or(update, "ends_on", stored.ends_on), signer=signer)


def _given_or(request: BaseModel, field: str, otherwise: date | None) -> date | None:
    given = field in request.model_fields_set
    value: date | None = getattr(request, field)
    return value if given else otherwise


def _refuse(findings: list[_Finding]) -> None:
    if not findings:
        return
    kinds = {finding.kind for finding in findings}
    errors = tuple(finding.error for finding in findings)
    kind = findings[0].kind if len(kinds) == 1 else problems.INVALID_REQUEST
    suggestion = {key: value for error in errors for key, value in error.suggestion.items()}
    raise Problem(kind, describe(errors), errors=errors, members=suggestion)


def _invalid(field: str, reason: str, **suggestion: str) -> _Finding:
    return _Finding(problems.INVALID_REQUEST, FieldError(field, reason, suggestion))


def _slug(request: CreateClient) -> tuple[str, list[_Finding]]:
    try:
        if request.slug is not None:
            return validate_slug(request.slug), []
        return slug_for(request.legal_name), []
    except SlugError as error:
        suggestion = {"suggested_slug": error.suggested} if error.suggested else {}
        return "", [_invalid("slug", str(error), **suggestion)]


def _printable(field: str, text: str, can_print: CanPrint) -> _Findings:
    missing = can_print(text)
    if missing:
        listed = ", ".join(f"U+{ord(c):04X}" for c in "".join(missing)[:5])
        yield _invalid(field, f"holds characters that no installed font can print ({listed})")


def _categories(categories: list[str], can_print: CanPrint) -> _Findings:
    for position, category in enumerate(categories):
        yield from _printable(f"data_categories.{position}", category, can_print)


def _contract(contract: ContractIntent, today: date, can_print: CanPrint) -> _Findings:
    if contract.ends_on is not None and contract.ends_on < contract.signed_on:
        yield _invalid("contract.ends_on", "is before the contract was signed")
    yield from _printable("contract.reference", contract.reference, can_print)
    yield from _signer(contract.signer, can_print)
    yield from _gates(contract, today)


def _gates(contract: ContractIntent | Contract, today: date) -> _Findings:
    """The gates of SP-050-003 that a contract has to pass, whether just given or stored (SP-07)."""
    if contract.signed_on > today:
        reason = f"is in the future; today is {today.isoformat()}"
        yield _gate(problems.CONTRACT_NOT_SIGNED, "contract.signed_on", reason)
    if contract.ends_on is not None and contract.ends_on < today:
        reason = f"has passed; the contract ended on {contract.ends_on.isoformat()}"
        yield _gate(problems.CONTRACT_ENDED, "contract.ends_on", reason)


def _gate(kind: ProblemType, field: str, reason: str) -> _Finding:
    return _Finding(kind, FieldError(field, reason))


def _signer(signer: SignerIntent, can_print: CanPrint) -> _Findings:
    names = signer.names
    for field, name in names.items():
        yield from _printable(f"contract.signer.{field}", name, can_print)
    try:
        record_password(SignerName.model_validate(names))
    except PasswordFormError as error:
        field = "full_name" if signer.full_name is not None else "last_name"
        yield _invalid(f"contract.signer.{field}", f"cannot be the record's password: {error}")


def _validity(valid_until: date | None, ends_on: date | None, today: date) -> _Findings:
    if valid_until is None:
        return
    if valid_until <= today:
        yield _invalid("valid_until", "has to be in the future")
    if ends_on is not None and valid_until > ends_on:
        yield _invalid("valid_until", f"is after the contract's end on {ends_on.isoformat()}")


def _intent_of(contract: ContractRequest) -> ContractIntent:
    return ContractIntent(
        kind=contract.kind,
        reference=contract.reference,
        signed_on=contract.signed_on,
        ends_on=contract.ends_on,
        jurisdiction=contract.jurisdiction,
        signer=SignerIntent(**contract.signer.model_dump()),
    )
