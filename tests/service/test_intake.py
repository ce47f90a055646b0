"""What is refused at the door, with which field and why."""

import copy
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from models.clients import Profile
from pdf import can_print
from service import problems
from service.intake import validate
from service.problems import Problem, ProblemType
from service.requests import ContractRequest, CreateClient
from service.wishes import OpenIntent
from tests.service.http.conftest import ABC_LLC

TODAY = date(2026, 11, 22)
Change = Callable[[dict[str, Any]], None]


def checked(change: Change | None = None) -> OpenIntent:
    """Validate the sample request after a change to it."""
    request = copy.deepcopy(ABC_LLC)
    if change is not None:
        change(request)
    return validate(CreateClient.model_validate(request), TODAY, can_print)


def refused(change: Change) -> tuple[ProblemType, dict[str, str]]:
    """Return the problem and the reasons by field."""
    with pytest.raises(Problem) as caught:
        checked(change)
    problem = caught.value
    return problem.problem, {error.field: error.reason for error in problem.errors}


def malformed(change: Change) -> set[str]:
    """Return the fields that the request's own shape refuses."""
    request = copy.deepcopy(ABC_LLC)
    change(request)
    with pytest.raises(ValidationError) as caught:
        CreateClient.model_validate(request)
    return {
        ".".join(str(step) for step in error["loc"] if step not in ("parts", "full"))
        for error in caught.value.errors()
    }


def sets(path: str, value: Any) -> Change:
    """Return a change that sets one field, by its dotted path."""

    def change(request: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            request = request[parent]
        request[last] = value

    return change


def removes(path: str) -> Change:
    """Return a change that removes one field."""

    def change(request: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            request = request[parent]
        del request[last]

    return change


def test_good_request_becomes_an_intent() -> None:
    """SP-17: the slug is made of the legal name; the profile is `hardened` unless another is
    given.
    """
    intent = checked()
    assert (intent.slug, intent.profile) == ("ABC-LLC", Profile.hardened)
    assert intent.contract.signer.last_name == "Lovelace"
    assert intent.contract.jurisdiction == "ES"


@pytest.mark.parametrize(
    "field",
    [
        "legal_name",
        "purpose",
        "data_categories",
        "contract",
        "contract.kind",
        "contract.reference",
        "contract.signed_on",
        "contract.jurisdiction",
        "contract.signer",
        "contract.signer.first_name",
        "contract.signer.last_name",
        "contract.signer.email",
    ],
)
def test_mandatory_fields(field: str) -> None:
    """SP-01, SP-05, SP-07: purpose, categories, contract and signer are mandatory."""
    assert malformed(removes(field)) == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("legal_name", ""),
        ("legal_name", "   "),
        ("legal_name", "A" * 201),
        ("legal_name", 7),
        ("legal_name", "ABC\u202eLLC"),
        ("legal_name", "ABC\u200bLLC"),
        ("legal_name", "ABC\x00LLC"),
        ("legal_name", "АBC LLC"),
        ("legal_name", "\ud800"),
        ("purpose", "ab"),
        ("purpose", "x" * 501),
        ("purpose", "a\nline"),
        ("purpose", "zero\u200dwidth"),
        ("purpose", None),
        ("data_categories", []),
        ("data_categories", ["x"] * 21),
        ("data_categories", "images"),
        ("contract.kind", "nda"),
        ("contract.reference", ""),
        ("contract.reference", "x" * 101),
        ("contract.signed_on", "31/03/2026"),
        ("contract.signed_on", "2026-02-30"),
        ("contract.signed_on", 20260331),
        ("contract.signed_on", "2026-03-31T00:00:00"),
        ("contract.jurisdiction", "XX"),
        ("contract.jurisdiction", "Spain"),
        ("contract.jurisdiction", "UK"),
        ("contract.signer.email", "ada"),
        ("contract.signer.email", "ada@abc.example, eve@abc.example"),
        ("contract.signer.first_name", " "),
        ("contract.signer.last_name", "Love\u2066lace"),
        ("contract.signer.middle_name", "King"),
        ("profile", "everything"),
        ("language", "fr"),
        ("special_category", "no"),
        ("special_category", None),
        ("valid_until", "tomorrow"),
        ("region", "us-east-1"),
        ("contract.file", "x"),
    ],
)
def test_malformed_fields(field: str, value: Any) -> None:
    """Wrong types, lengths, characters and unknown fields are refused by the field's name."""
    assert malformed(sets(field, value)) == {field}


@pytest.mark.parametrize("item", ["", "x" * 81, 5, "a\tb"])
def test_malformed_categories(item: Any) -> None:
    """SP-02: each data category is plain text."""
    assert malformed(sets("data_categories", ["images", item])) == {"data_categories.1"}


@pytest.mark.parametrize("signer", [None, "Ada Lovelace", [], 1])
def test_signer_of_another_shape(signer: Any) -> None:
    """A signer is an object."""
    assert malformed(sets("contract.signer", signer)) == {"contract.signer"}


def test_signer_has_exactly_one_form() -> None:
    """SP-28: two names, or one full name, and never both."""
    signer = ABC_LLC["contract"]["signer"]
    both = sets("contract.signer", signer | {"full_name": "Ada Lovelace"})
    assert malformed(both) == {"contract.signer.first_name", "contract.signer.last_name"}


def test_full_name_is_never_split() -> None:
    """SP-28: a full name stays one."""
    signer = {"full_name": "María del Carmen Ruiz", "email": "m@abc.example"}
    intent = checked(sets("contract.signer", signer))
    assert intent.contract.signer.full_name == "María del Carmen Ruiz"
    assert intent.contract.signer.first_name is None


@pytest.mark.parametrize(
    "name", ["é" * 64, "\u0627\u0628 ab", "1\u0627"], ids=["over 127 bytes", "mixed", "digit first"]
)
def test_password_form_has_to_be_possible(name: str) -> None:
    """SP-28: over 127 bytes, or forbidden by SASLprep."""
    signer = {"full_name": name, "email": "m@abc.example"}
    kind, fields = refused(sets("contract.signer", signer))
    assert kind == problems.INVALID_REQUEST
    assert "password" in fields["contract.signer.full_name"]


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        (
            sets("contract.signed_on", "2026-11-23"),
            problems.CONTRACT_NOT_SIGNED,
            "contract.signed_on",
        ),
        (sets("contract.ends_on", "2026-11-21"), problems.CONTRACT_ENDED, "contract.ends_on"),
        (sets("contract.ends_on", "2026-03-30"), problems.INVALID_REQUEST, "contract.ends_on"),
        (sets("valid_until", "2026-11-22"), problems.INVALID_REQUEST, "valid_until"),
        (sets("slug", "a/b"), problems.INVALID_REQUEST, "slug"),
        (sets("slug", "${aws:username}"), problems.INVALID_REQUEST, "slug"),
        (sets("slug", "*"), problems.INVALID_REQUEST, "slug"),
        (sets("slug", "x" * 51), problems.INVALID_REQUEST, "slug"),
        (sets("purpose", "\U00013000" * 3), problems.INVALID_REQUEST, "purpose"),
    ],
)
def test_rules_of_the_procedure(change: Change, kind: ProblemType, field: str) -> None:
    """SP-07: gates answer 409, fields that cannot be right answer 422; both name the
    field.
    """
    found, fields = refused(change)
    assert found == kind
    assert field in fields
    assert kind.status == (422 if kind == problems.INVALID_REQUEST else 409)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contract.signed_on", "2026-11-22"),
        ("contract.ends_on", "2026-11-22"),
        ("contract.jurisdiction", "no"),
        ("contract.kind", "customer"),
        ("valid_until", "2026-11-23"),
        ("contract.signer.email", "ada@abc.test"),
        ("contract.signer.first_name", "José María"),
        ("legal_name", "Clínica Peña, S.L."),
    ],
)
def test_values_at_the_edge_are_taken(field: str, value: str) -> None:
    """SP-06: customers need no DPA; signed today, ending today and the EEA are all right."""
    checked(sets(field, value))


def test_validity_stays_within_the_contract() -> None:
    """The key does not outlive the contract."""

    def change(request: dict[str, Any]) -> None:
        request["contract"]["ends_on"] = "2027-01-01"
        request["valid_until"] = "2027-01-02"

    kind, fields = refused(change)
    assert (kind, set(fields)) == (problems.INVALID_REQUEST, {"valid_until"})


def test_what_needs_an_approval_is_taken() -> None:
    """SP-04: what somebody has to approve is no fault of the request."""

    def change(request: dict[str, Any]) -> None:
        request["contract"]["jurisdiction"] = "us"
        request |= {"special_category": True, "profile": "read-only"}

    intent = checked(change)
    assert intent.contract.jurisdiction == "US"
    assert (intent.special_category, intent.profile) == (True, Profile.read_only)


def test_other_scripts_ask_for_a_slug() -> None:
    """A name in another script is refused with a suggestion, and taken with a slug."""
    with pytest.raises(Problem) as caught:
        checked(sets("legal_name", "Клиника Пример"))
    assert caught.value.problem == problems.INVALID_REQUEST
    suggested = caught.value.members["suggested_slug"]

    def with_slug(request: dict[str, Any]) -> None:
        request |= {"legal_name": "Клиника Пример", "slug": suggested}

    assert checked(with_slug).slug == suggested


def test_all_offending_fields_are_listed() -> None:
    """One answer names everything that is wrong."""

    def change(request: dict[str, Any]) -> None:
        request["contract"] |= {"signed_on": "2027-01-01", "ends_on": "2026-12-31"}
        request |= {"slug": "a b", "valid_until": "2020-01-01"}

    kind, fields = refused(change)
    assert kind == problems.INVALID_REQUEST
    assert set(fields) == {"slug", "contract.signed_on", "contract.ends_on", "valid_until"}


def test_repeated_categories_are_kept_once() -> None:
    """SP-02: saying a category twice does no harm."""
    intent = checked(sets("data_categories", ["images", "age", "images"]))
    assert intent.data_categories == ("images", "age")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "names", [{"full_name": "Ada Lovelace"}, {"first_name": "Ada", "last_name": "Lovelace"}]
)
def test_either_form_of_signer_is_written_out_without_a_warning(names: dict[str, str]) -> None:
    """PB-02: a warning of the library would put name and address into the log."""
    asked = {**ABC_LLC["contract"], "signer": {**names, "email": "ada@abc.example"}}
    contract = ContractRequest.model_validate(asked)
    assert contract.model_dump(mode="json")["signer"] == asked["signer"]
