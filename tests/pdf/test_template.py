"""The template as a controlled document (SP-08, SP-29, SP-30)."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from pdf import (
    APPROVAL_ROLES,
    SPECIMEN_SECRET,
    ApprovalError,
    RecordInput,
    TemplateVersion,
    UnknownTemplateError,
    choose,
    latest_approved,
    render,
    specimen,
    template,
    templates,
)
from pdf.blocks import Document
from pdf.content import document
from pdf.record import Approval
from pdf.template import LAYOUTS
from tests.pdf.records import COMMIT, SIGNATURES, make_record, pages_of, signature

AUTHOR, REVIEWER, APPROVER = SIGNATURES
FIRST = TemplateVersion(version="1", changes="First version.")
SECOND = TemplateVersion(version="2", changes="Other words.")


def test_sp_29_the_registry_is_what_the_software_can_render() -> None:
    versions = [known.version for known in templates()]
    assert versions == list(LAYOUTS)
    assert versions == sorted(versions, key=int)
    assert template("1").changes


def test_sp_08_nothing_is_approved_that_nobody_approved() -> None:
    """As it is shipped, version 1 is a draft, and records made under it say so on each page."""
    assert latest_approved() is None
    chosen = choose()
    assert (chosen.version, chosen.draft, chosen.approvals) == ("1", True, ())
    pages = pages_of(render(make_record(draft=chosen.draft), SPECIMEN_SECRET))
    assert all("DRAFT" in page for page in pages)
    assert "Version 1 of this template is a draft" in " ".join(pages)


def test_sp_30_three_signatures_in_order_approve() -> None:
    half = FIRST.signed(AUTHOR).signed(REVIEWER)
    assert half.draft
    assert not half.signed(APPROVER).draft
    assert half.signed(APPROVER) == FIRST.signed(*SIGNATURES)
    assert list(APPROVAL_ROLES) == [approval.step for approval in SIGNATURES]


@pytest.mark.parametrize(
    ("signatures", "reason"),
    [
        ((REVIEWER,), "next needs its author, not its reviewer"),
        ((AUTHOR, APPROVER), "next needs its reviewer, not its approver"),
        ((AUTHOR, AUTHOR), "next needs its reviewer, not its author"),
        ((*SIGNATURES, APPROVER), "is approved already"),
        ((signature("author", "JD-003"),), "author of a template is JD-004 or JD-020, not JD-003"),
        ((AUTHOR, signature("reviewer", "JD-001")), "reviewer of a template is JD-003"),
        ((AUTHOR, REVIEWER, signature("approver", "JD-020")), "approver of a template is JD-001"),
        (
            (AUTHOR, signature("reviewer", "JD-003", on=date(2026, 11, 3))),
            "reviewer of version 1 signed before the author",
        ),
        (
            (AUTHOR, signature("reviewer", "JD-003", commit="aaaaaaa")),
            f"signed commit {COMMIT}, the reviewer aaaaaaa",
        ),
        ((AUTHOR, signature("reviewer", "JD-003", by="actor-1")), "one person cannot sign"),
    ],
)
def test_sp_30_other_orders_roles_dates_commits_and_self_approval_are_refused(
    signatures: tuple[Approval, ...], reason: str
) -> None:
    with pytest.raises(ApprovalError, match=reason):
        FIRST.signed(*signatures)
    with pytest.raises(ApprovalError, match=reason):
        choose({"1": signatures})


def test_sp_08_the_last_approved_version_renders_until_its_successor_is_approved() -> None:
    versions = (FIRST, SECOND)
    assert choose(versions=versions) == SECOND
    assert choose({"1": SIGNATURES}, versions=versions).version == "1"
    assert choose({"1": SIGNATURES, "2": SIGNATURES[:2]}, versions=versions).version == "1"
    assert choose({"1": SIGNATURES, "2": SIGNATURES}, versions=versions).version == "2"
    assert choose({"1": SIGNATURES, "2": SIGNATURES}, versions=versions).approvals == SIGNATURES


def test_sp_29_signatures_for_other_words_do_not_count() -> None:
    """Whoever changes an approved version in place has a draft again."""
    now = tuple(one.model_copy(update={"digest": template("1").digest}) for one in SIGNATURES)
    assert not choose({"1": now}).draft
    before = tuple(one.model_copy(update={"digest": "0" * 64}) for one in SIGNATURES)
    assert choose({"1": before}).draft


def test_sp_29_the_digest_follows_what_the_template_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(record: RecordInput, secret: Any) -> Document:
        return document(record.model_copy(update={"purpose": "Other words"}), secret)

    monkeypatch.setitem(LAYOUTS, "1-changed", other)
    changed = TemplateVersion(version="1-changed", changes="One word.")
    assert len(template("1").digest) == 64
    assert changed.digest != template("1").digest


def test_an_unknown_version_names_those_that_exist() -> None:
    with pytest.raises(UnknownTemplateError, match="no version '7'; there are: 1"):
        template("7")
    with pytest.raises(UnknownTemplateError, match="no version '7'; there are: 1"):
        render(make_record(template_version="7"), SPECIMEN_SECRET)


def test_sp_29_a_signature_cites_a_commit() -> None:
    with pytest.raises(ValidationError, match="commit"):
        signature("author", "JD-020", commit="yesterday's")


def test_a_specimen_s_key_is_plainly_none() -> None:
    """As long as a real one, so that the page looks as it will, and false at first sight."""
    text = " ".join(pages_of(render(specimen(), SPECIMEN_SECRET)))
    assert "AKIASPECIMENSPECIMEN" in text
    assert "SPECIMEN/NOT/A/KEY" in text
    assert (len(specimen().access_key_id), len(SPECIMEN_SECRET.get_secret_value())) == (20, 40)
    assert specimen(language="es").language == "es"
