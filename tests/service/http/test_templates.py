"""The template as a controlled document: who signs, in which order, what records say of it."""

import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pypdf import PdfReader
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from models.actors import Actor, ActorKind
from models.audit import AuditEvent, verify_chain
from models.database import transaction
from models.templates import ApprovalStep, TemplateApproval
from pdf import ApprovalError, UnknownTemplateError
from service.accounts import ensure_operator
from service.context import Services
from service.templates import approve, chosen_template
from tests.service.http.conftest import TokenFactory, caller
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]
Sign = Callable[..., None]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CLIENT = "/v1/clients/ABC-LLC"
PEOPLE = {
    "an author": ["JD-020"],
    "a quality manager": ["JD-004"],
    "a reviewer": ["JD-003"],
    "an approver": ["JD-001"],
    "everybody": ["JD-001", "JD-003", "JD-004"],
    "a technical manager": ["JD-005", "admin"],
}


@pytest.fixture
def sign(services: Services) -> Sign:
    """`sign("author", "a person's name", commit=…)`: sign version 1 on behalf of that person."""
    with transaction(services.database) as session:
        session.add_all([Actor(name=name, roles=roles) for name, roles in PEOPLE.items()])
        session.add(Actor(name="a robot", kind=ActorKind.system, roles=["JD-020"]))
        session.add(Actor(name="a leaver", roles=["JD-020"], active=False))

    def call(step: str, name: str, *, commit: str = COMMIT, version: str = "1") -> None:
        with transaction(services.database) as session:
            approve(
                session,
                ensure_operator(session),
                services.settings.zone,
                actor=session.exec(select(Actor).where(Actor.name == name)).one(),
                version=version,
                step=ApprovalStep(step),
                commit=commit,
            )

    return call


def sign_all(sign: Sign) -> None:
    """Sign all three steps, each by somebody else."""
    sign("author", "an author")
    sign("reviewer", "a reviewer")
    sign("approver", "an approver")


def first_page(pdf: bytes) -> str:
    """Return the text of a record's pages."""
    reader = PdfReader(io.BytesIO(pdf), password="Ada Lovelace")
    return "\n".join(page.extract_text() for page in reader.pages)


def test_author_reviewer_approver_make_it_the_version_in_force(
    api: httpx.Client, services: Services, sign: Sign
) -> None:
    """SP-08, SP-29, SP-30: three roles in order, each with the verified commit, in the audit."""
    [before] = api.get("/v1/templates").json()["items"]
    assert (before["version"], before["draft"], before["chosen"]) == ("1", True, True)
    assert (before["due"], before["approvals"]) == ("author", [])
    sign_all(sign)
    [after] = api.get("/v1/templates").json()["items"]
    assert (after["draft"], after["due"], after["changed"]) == (False, None, False)
    signed = [(a["step"], a["role"], a["commit"]) for a in after["approvals"]]
    assert signed == [
        ("author", "JD-020", COMMIT),
        ("reviewer", "JD-003", COMMIT),
        ("approver", "JD-001", COMMIT),
    ]
    assert len({approval["actor"] for approval in after["approvals"]}) == 3
    with transaction(services.database, write=False) as session:
        query = select(AuditEvent).where(AuditEvent.action == "template.approved")
        told = [event.data for event in session.exec(query)]
        assert verify_chain(session).ok
    assert [data["step"] for data in told] == ["author", "reviewer", "approver"]
    assert {data["commit"] for data in told} == {f"git:{COMMIT}"}
    assert {data["sha256"] for data in told} == {after["digest"]}
    assert [data["signed_by"] for data in told] == [a["actor"] for a in after["approvals"]]


@pytest.mark.parametrize(
    ("before", "step", "name", "why"),
    [
        ([], "reviewer", "a reviewer", "next needs its author"),
        ([], "approver", "an approver", "next needs its author"),
        ([], "author", "a reviewer", "JD-004 or JD-020"),
        ([], "author", "a technical manager", "JD-004 or JD-020"),
        ([], "author", "a robot", "only people sign"),
        ([], "author", "a leaver", "only people sign"),
        (["author"], "author", "a quality manager", "next needs its reviewer"),
        (["author"], "reviewer", "everybody", "nobody approves alone"),
        (["author", "reviewer"], "approver", "everybody", "nobody approves alone"),
    ],
)
def test_any_other_signature_is_refused(
    services: Services, sign: Sign, before: list[str], step: str, name: str, why: str
) -> None:
    """SP-30: enforced order, the right role, nobody twice, and nothing is written."""
    people = {"author": "everybody", "reviewer": "a reviewer"}
    for earlier in before:
        sign(earlier, people[earlier])
    with pytest.raises(ApprovalError, match=why):
        sign(step, name)
    with transaction(services.database, write=False) as session:
        assert len(session.exec(select(TemplateApproval)).all()) == len(before)


def test_an_approved_version_is_signed_no_more(sign: Sign) -> None:
    """SP-30."""
    sign_all(sign)
    with pytest.raises(ApprovalError, match="approved already"):
        sign("approver", "everybody")


@pytest.mark.parametrize("commit", ["", "0123456", "Ada", "0" * 39, "0" * 41, "A" * 40, "é" * 40])
def test_a_signature_names_a_whole_commit(sign: Sign, commit: str) -> None:
    """SP-29: the signature is a verified commit; a short id could come to name another one."""
    with pytest.raises(ApprovalError, match="whole id"):
        sign("author", "an author", commit=commit)


def test_all_sign_the_same_state(sign: Sign) -> None:
    """SP-29: what the reviewer signs is what the author did."""
    sign("author", "an author")
    with pytest.raises(ApprovalError, match="all sign the same state"):
        sign("reviewer", "a reviewer", commit="f" * 40)


def test_an_unknown_version_is_named(sign: Sign) -> None:
    with pytest.raises(UnknownTemplateError, match="'2'"):
        sign("author", "an author", version="2")


def test_the_database_itself_refuses_two_signatures_of_one_step(
    services: Services, sign: Sign
) -> None:
    """SP-30: whatever the program does, a step and a person sign a version once."""
    sign("author", "an author")
    with transaction(services.database, write=False) as session:
        kept = session.exec(select(TemplateApproval)).one().model_dump(exclude={"id"})
    for change in ({"actor_id": "another"}, {"step": ApprovalStep.reviewer}):
        with (
            pytest.raises(IntegrityError, match="UNIQUE"),
            transaction(services.database) as session,
        ):
            session.add(TemplateApproval(**(kept | change)))


def test_a_record_names_the_template_and_its_approvals(
    api: httpx.Client, worker: HandWorker, abc_llc: Request, sign: Sign
) -> None:
    """SP-29: printed with the version, the roles and the commit; a draft says DRAFT instead."""
    worker.automatic = True
    draft = api.post("/v1/clients", json=abc_llc, headers={"Accept": "application/pdf"}).content
    assert "DRAFT" in first_page(draft)
    assert COMMIT not in "".join(first_page(draft).split())
    sign_all(sign)
    still = api.get(f"{CLIENT}/record.pdf").content
    assert "DRAFT" in first_page(still)
    etag = api.get(CLIENT).headers["ETag"]
    renewed = api.patch(CLIENT, json={}, headers={"If-Match": etag}).json()
    assert [r["draft"] for r in renewed["records"]] == [False, True]
    text = first_page(api.get(f"{CLIENT}/record.pdf").content)
    assert "DRAFT" not in text
    for role in ("JD-020", "JD-003", "JD-001"):
        assert role in text
    assert COMMIT in "".join(text.split())


def test_signatures_on_other_words_do_not_count(services: Services, sign: Sign) -> None:
    """SP-08: a version changed after it was signed is a draft, and is signed no further."""
    sign("author", "an author")
    with transaction(services.database) as session:
        session.exec(select(TemplateApproval)).one().digest = "0" * 64
    with transaction(services.database, write=False) as session:
        assert chosen_template(session, services.settings.zone).approvals == ()
    with pytest.raises(ApprovalError, match="new version"):
        sign("reviewer", "a reviewer")


def test_templates_are_for_readers(address: str, token: TokenFactory) -> None:
    """PB-16: a token without `clients:read` is refused."""
    with caller(address, token("records:read")) as other:
        assert other.get("/v1/templates").status_code == 403
