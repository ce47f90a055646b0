"""What the record says and carries, as other programs read it."""

import csv
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pikepdf
import pypdf
import pytest

from pdf import (
    UnprintableTextError,
    attachments,
    commands_text,
    default_fonts,
    fingerprint,
    issue,
    render,
)
from pdf.content import document
from pdf.layout import lay_out
from pdf.shapes import Tag
from tests.pdf.records import (
    COMMIT,
    LONGEST,
    SECRET,
    SIGNATURES,
    SIGNER,
    make_record,
    pages_of,
    poppler_text,
)

TAGS_WITH_CONTENT = {"/H1", "/H2", "/H3", "/P", "/Code", "/TH", "/TD", "/LBody"}


def flat(text: str) -> str:
    """Text with its white space as single blanks."""
    return " ".join(text.split())


@pytest.mark.parametrize("language", ["en", "es"])
def test_sp_15_record_says_what_the_procedure_asks_for(language: str) -> None:
    """Number, version, parties, purpose, area, key and validity (SP-15, SP-21, SP-22, PB-31)."""
    text = flat(poppler_text(render(make_record(language=language), SECRET)))
    for fact in (
        "T-050-003-2026-0001",
        "Example Health, S.L.",
        "ABC LLC",
        "DPA-2026-017",
        "Ada Lovelace",
        "Review of dermatology images",
        "images, clinical metadata",
        "legit-health-clients",
        "ABC-LLC/",
        "s3://legit-health-clients/ABC-LLC/images/",
        "eu-west-3",
        "AKIAIOSFODNN7EXAMPLE",
        SECRET.get_secret_value(),
        "support@example.org",
        "dpo@example.org",
    ):
        assert fact in text


def test_dates_are_printed_in_the_record_s_time_zone_and_language() -> None:
    """23:30 UTC on 21 November is the 22nd in Madrid."""
    english = flat(poppler_text(render(make_record(), SECRET)))
    assert "22 November 2026, 00:30 (Europe/Madrid)" in english
    assert "from 22 November 2026 until it is replaced or withdrawn" in english
    spanish = flat(pages_of(render(make_record(language="es", **LONGEST), SECRET))[0])
    assert "22 de noviembre de 2026, 00:30 (Europe/Madrid)" in spanish
    assert "desde el 22 de noviembre de 2026 hasta el 20 de noviembre de 2027" in spanish


@pytest.mark.parametrize("changes", [{}, LONGEST, {"language": "es"}])
def test_pb_23_classification_and_page_number_on_each_page(changes: dict[str, Any]) -> None:
    pages = pages_of(render(make_record(**changes), SECRET))
    word, of = ("Página", "de") if changes.get("language") == "es" else ("Page", "of")
    for number, page in enumerate(pages, 1):
        assert "Personal / Confidential" in page
        assert f"{word} {number} {of} {len(pages)}" in page
        assert "T-050-003-2026-0001" in page


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("profile", ["sp-050-003", "hardened", "read-only", "write-only"])
def test_an_ordinary_record_has_four_pages(language: str, profile: str) -> None:
    """What it is; what to do; rules and errors; other ways in."""
    record = make_record(language=language, profile=profile, approvals=SIGNATURES)
    assert len(pages_of(render(record, SECRET))) == 4


@pytest.mark.parametrize(
    ("profile", "said", "unsaid"),
    [
        ("sp-050-003", "read and set the access settings", "make a file public"),
        ("hardened", "make a file public or share it", "upload, replace or delete anything"),
        ("read-only", "upload, replace or delete anything", "upload and replace files"),
        ("write-only", "download or delete anything", "download files"),
    ],
)
def test_pb_17_permissions_are_said_in_words(profile: str, said: str, unsaid: str) -> None:
    text = flat(poppler_text(render(make_record(profile=profile), SECRET)))
    assert said in text
    assert unsaid not in text


def test_sp_22_key_is_attached_as_csv() -> None:
    """Header and columns are those that `aws configure import` requires."""
    files = attachments(issue(make_record(), SECRET, SIGNER), "Ada Lovelace")
    assert sorted(files) == ["commands.txt", "credentials.csv"]
    assert files["credentials.csv"].startswith(b"User Name,Access key ID,Secret access key\r\n")
    rows = list(csv.DictReader(io.StringIO(files["credentials.csv"].decode())))
    assert rows == [
        {
            "User Name": "ABC-LLC",
            "Access key ID": "AKIAIOSFODNN7EXAMPLE",
            "Secret access key": SECRET.get_secret_value(),
        }
    ]


def test_commands_are_attached_as_printed() -> None:
    record = make_record()
    files = attachments(issue(record, SECRET, SIGNER), "Ada Lovelace")
    assert files["commands.txt"] == commands_text(record)


def test_second_library_reads_the_attachments() -> None:
    reader = pypdf.PdfReader(
        io.BytesIO(issue(make_record(), SECRET, SIGNER)), password="Ada Lovelace"
    )
    assert set(reader.attachments) == {"commands.txt", "credentials.csv"}
    assert SECRET.get_secret_value().encode() in reader.attachments["credentials.csv"][0]


def test_same_input_gives_the_same_bytes() -> None:
    record = make_record(**LONGEST)
    copy = type(record).model_validate_json(record.model_dump_json())
    assert render(record, SECRET) == render(copy, SECRET)


def test_threads_do_not_disturb_each_other() -> None:
    records = [make_record(client_legal_name=f"Клиент {n} حرف") for n in range(24)]
    alone = [render(record, SECRET) for record in records]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda record: render(record, SECRET), records)) == alone


def test_fingerprint_outlives_protection() -> None:
    record = make_record()
    digest = fingerprint(render(record, SECRET))
    assert fingerprint(issue(record, SECRET, SIGNER), "Ada Lovelace") == digest
    assert fingerprint(render(make_record(version=2), SECRET)) != digest


def test_input_holds_no_secret() -> None:
    """What is stored to render a record again has no secret in it (PB-13)."""
    assert SECRET.get_secret_value() not in make_record().model_dump_json()


def test_document_properties_hold_no_secret() -> None:
    reader = pypdf.PdfReader(io.BytesIO(render(make_record(), SECRET)))
    properties = str(reader.metadata)
    assert reader.metadata is not None
    assert reader.metadata.title == "T-050-003-2026-0001 Data access key"
    assert reader.metadata.creation_date == make_record().issued_at
    for hidden in (SECRET.get_secret_value(), "AKIA", "Lovelace"):
        assert hidden not in properties


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_pdf_is_tagged_in_reading_order(language: str) -> None:
    """Title, language and structure are there for a screen reader (ISO 32000-2, 14.8)."""
    with pikepdf.open(io.BytesIO(render(make_record(language=language), SECRET))) as pdf:
        assert pdf.Root.Lang == language
        assert pdf.Root.MarkInfo.Marked
        assert pdf.Root.ViewerPreferences.DisplayDocTitle
        kinds = list(_kinds(pdf.Root.StructTreeRoot.K))
        assert kinds[:3] == ["/Document", "/P", "/H1"]
        assert kinds.count("/H2") == 8
        assert kinds.count("/TR") > 15
        assert set(kinds) - TAGS_WITH_CONTENT == {"/Document", "/Table", "/TR", "/L", "/LI"}
        for number, page in enumerate(pdf.pages):
            marks = _marks(page)
            parents = pdf.Root.StructTreeRoot.ParentTree.Nums[2 * number + 1]
            assert marks == list(range(len(parents)))
            assert {str(parent.S) for parent in parents} <= TAGS_WITH_CONTENT


def test_all_that_is_drawn_is_tagged_or_marked_as_decoration() -> None:
    with pikepdf.open(io.BytesIO(render(make_record(**LONGEST), SECRET))) as pdf:
        for page in pdf.pages:
            depth = 0
            for instruction in pikepdf.parse_content_stream(page):
                operator = str(instruction.operator)
                if operator == "BMC":
                    assert [str(name) for name in instruction.operands] == ["/Artifact"]
                depth += operator in ("BDC", "BMC")
                depth -= operator == "EMC"
                assert depth == 1 or operator not in ("Tj", "TJ", "f", "re")


def test_names_of_other_scripts_are_read_as_they_are_spelt() -> None:
    """A shaped text stands in the structure as it is spelt, for readers that speak it."""
    names = ("شركة الأمل للأبحاث", "Ελένη Παπαδοπούλου", "Юлия Ёлкина")
    record = make_record(client_legal_name=names[0], signer_name=names[1], purpose=names[2])
    pdf = render(record, SECRET)
    text = flat(poppler_text(pdf))
    assert names[1] in text
    assert names[2] in text
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        spoken = [str(e.ActualText) for e in _elements(opened.Root.StructTreeRoot.K)]
    assert names[0] in spoken


def test_words_at_line_ends_stay_apart_for_readers_of_the_structure() -> None:
    """Each line but a text's last carries its space, and broken words carry none."""
    record = make_record(purpose=f"{'seven words and then a very long path ' * 4}{'/path' * 60}")
    _, root = lay_out(document(record, SECRET), default_fonts())
    spoken = ["".join(tag.lines) for tag in _tags(root)]
    assert record.purpose in spoken


def test_a_draft_says_so_on_each_page() -> None:
    """SP-08: what is not approved cannot be taken for approved."""
    pages = pages_of(render(make_record(draft=True), SECRET))
    assert all("DRAFT" in page for page in pages)
    assert not any("DRAFT" in page for page in pages_of(render(make_record(), SECRET)))


def test_sp_29_template_version_and_approvals_are_printed() -> None:
    text = flat(poppler_text(render(make_record(approvals=SIGNATURES), SECRET)))
    for printed in ("T-050-003, version 1", "JD-020", "JD-003", "JD-001", COMMIT):
        assert printed in text


def test_what_no_font_prints_is_refused() -> None:
    with pytest.raises(UnprintableTextError, match=r"U\+E000"):
        render(make_record(purpose="A private sign: \ue000"), SECRET)


def test_nothing_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is never stored, not even for a moment."""
    opened: list[str] = []
    real = os.open

    def spy(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            opened.append(str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", spy)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    issue(make_record(), SECRET, SIGNER)
    assert opened == []
    assert list(tmp_path.iterdir()) == []


def _tags(tag: Tag) -> Iterator[Tag]:
    yield tag
    for child in tag.children:
        if isinstance(child, Tag):
            yield from _tags(child)


def _elements(element: Any) -> Any:
    if "/ActualText" in element:
        yield element
    for child in element.get("/K", []):
        if child.get("/Type") == "/StructElem":
            yield from _elements(child)


def _kinds(element: Any) -> Any:
    yield str(element.S)
    for child in element.get("/K", []):
        if child.get("/Type") == "/StructElem":
            yield from _kinds(child)


def _marks(page: pikepdf.Page) -> list[int]:
    return [
        int(instruction.operands[1].MCID)
        for instruction in pikepdf.parse_content_stream(page)
        if isinstance(instruction, pikepdf.ContentStreamInstruction)
        and str(instruction.operator) == "BDC"
    ]
