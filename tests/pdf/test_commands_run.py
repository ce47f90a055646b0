"""Every command of the record, taken out of the PDF and run for real (SP-27)."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from types_boto3_iam import IAMClient
from types_boto3_s3 import S3Client

from engine.localaws import LocalAws
from pdf import SignerName, attachments, commands, issue, languages
from tests.pdf.engineer import Area, Engineer, open_area
from tests.pdf.records import poppler_text

PASSWORD = "Ada Lovelace"
TOOLS = ("aws ", "python ", "rclone ")
SENDING = re.compile(r'(?!.*--dryrun)(aws s3 sync|rclone copy) "images/"|.*upload_file')
LISTING = re.compile(r"aws s3 ls|.*filter\(")
PROVING = re.compile(r".*--dryrun|rclone check")
FETCHING = re.compile(r'.*"download/"')
PLACED_BEFORE = "earlier.txt"


@pytest.fixture(params=["sp-050-003", "hardened", "read-only", "write-only"])
def area(
    request: pytest.FixtureRequest,
    iam: IAMClient,
    s3: S3Client,
    local_aws: LocalAws,
    bucket: str,
) -> Area:
    """An area of each profile, with the very policy that a client's user gets."""
    return open_area(iam, s3, local_aws, bucket, request.param)


def issued(area: Area, language: str) -> bytes:
    """The area's record as it leaves the house."""
    record = area.record.model_copy(update={"language": language})
    return issue(record, SecretStr(area.secret), SignerName(full_name=PASSWORD))


def printed_lines(pdf: bytes, area: Area) -> list[str]:
    """The command lines in the text of a PDF, as poppler reads them, in the order of the steps.

    Very long ones stand on pages of their own at the end; an unknown one is an error here.
    """
    lines = (line.strip() for line in poppler_text(pdf, PASSWORD).splitlines())
    order = [command.line for command in commands(area.record)]
    return sorted((line for line in lines if line.startswith(TOOLS)), key=order.index)


def test_sp_27_each_printed_command_works(area: Area, tmp_path: Path, s3: S3Client) -> None:
    """All but installation lines, with awscli, boto3 and rclone (SP-21, SP-27, PB-17).

    They are printed alike in each language and in `commands.txt`, so each is run once. Before each
    line that sends, new pictures lie in the folder, one of them of two parts.
    """
    lines = _agreed_lines(area)
    installing = [command.line for command in commands(area.record) if command.installs]
    assert set(installing) < set(lines)
    engineer = Engineer(area, tmp_path / "home")
    pictures: dict[str, bytes] = {}
    for number, line in enumerate(line for line in lines if line not in installing):
        if SENDING.match(line):
            new = _photographs(engineer, f"day {number}")
            pictures |= new
        if PROVING.match(line):
            _check_proof(engineer, line)
            assert _stored(s3, area).keys() == {PLACED_BEFORE, *pictures}
        said = engineer.run(line)
        if SENDING.match(line):
            assert new.items() <= _stored(s3, area).items()
        _check_answer(line, said, area, {PLACED_BEFORE, *pictures})
        if FETCHING.match(line):
            fetched = engineer.downloaded()
            assert fetched == {f"images/{name}": data for name, data in _stored(s3, area).items()}
    assert bool(pictures) == area.record.profile.may_upload
    name = area.record.profile_name
    assert engineer.profiles() <= {name, f"profile {name}"}


def _agreed_lines(area: Area) -> list[str]:
    """The lines of the PDF's text: the same in each language, and as attached, to the letter."""
    expected = [command.line for command in commands(area.record)]
    for language in languages():
        pdf = issued(area, language)
        attached = attachments(pdf, PASSWORD)["commands.txt"].decode().splitlines()
        assert printed_lines(pdf, area) == attached == expected
    return expected


def _photographs(engineer: Engineer, folder: str) -> dict[str, bytes]:
    files = {
        f"{folder}/picture.tiff": engineer.photograph(f"{folder}/picture.tiff", megabytes=6),
        f"{folder}/small.jpg": engineer.photograph(f"{folder}/small.jpg"),
    }
    return {name: file.read_bytes() for name, file in files.items()}


def _stored(s3: S3Client, area: Area) -> dict[str, bytes]:
    """What lies at the area's upload path, without the placeholder."""
    bucket, path = area.record.bucket, area.record.upload_path
    found = s3.list_objects_v2(Bucket=bucket, Prefix=path)["Contents"]
    keys = [item["Key"] for item in found if item["Key"] != path]
    return {
        key.removeprefix(path): s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys
    }


def _check_proof(engineer: Engineer, line: str) -> None:
    """A line that proves completeness tells what is missing, and sends nothing itself."""
    late = engineer.photograph("late.jpg")
    answer = engineer.attempt(line)
    assert "late.jpg" in answer.stdout + answer.stderr
    late.unlink()


def _check_answer(line: str, said: str, area: Area, names: set[str]) -> None:
    if "get-caller-identity" in line:
        assert f"user/{area.record.user_name}" in said
    if "--dryrun" in line:
        assert said == ""
    if LISTING.match(line):
        assert all(name in said for name in names)
