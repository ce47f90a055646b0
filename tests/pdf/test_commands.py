"""The commands of a record, as text (SP-27)."""

import re
import shlex
from typing import Any

import pytest

from pdf import Command, commands, commands_text, languages, render
from pdf.catalogue import catalogue
from tests.pdf.records import LONGEST, SECRET, make_record, poppler_text

PROFILES = ["sp-050-003", "hardened", "read-only", "write-only"]
# What no shell of the three reads as more than itself: outside of quotes, and within double ones.
OUTSIDE = re.compile(r"[A-Za-z0-9 =:/._-]*")
INSIDE = re.compile(r"[A-Za-z0-9 =:/._,;+*'()\[\]-]*")


def lines_of(**changes: Any) -> list[str]:
    """The command lines of a record with some fields changed."""
    return [command.line for command in commands(make_record(**changes))]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("changes", [{}, LONGEST])
def test_sp_27_commands_suit_every_shell(profile: str, changes: dict[str, Any]) -> None:
    """One line, double quotes only, nothing that bash, PowerShell or cmd expands."""
    for line in lines_of(**changes, profile=profile):
        outside, inside = line.split('"')[::2], line.split('"')[1::2]
        assert len(outside) == len(inside) + 1
        assert all(OUTSIDE.fullmatch(part) for part in outside), line
        assert all(INSIDE.fullmatch(part) for part in inside), line


@pytest.mark.parametrize("profile", PROFILES)
def test_sp_27_commands_name_their_profile_and_close_their_paths(profile: str) -> None:
    """The default profile is never touched; a path without its slash would be an object's name."""
    for step, line, installs in commands(make_record(profile=profile)):
        words = shlex.split(line)
        assert installs or "handover-ABC-LLC" in line
        if words[0] == "aws":
            assert words[words.index("--profile") + 1] == "handover-ABC-LLC"
        for word in words:
            if step != "python" and re.search(r"legit-health-clients|^images|^download", word):
                assert word.endswith("/"), line


@pytest.mark.parametrize(
    ("profile", "steps"),
    [
        ("sp-050-003", ["configure", "check", "upload", "prove", "list", "download"]),
        ("hardened", ["configure", "check", "upload", "prove", "list", "download"]),
        ("read-only", ["configure", "check", "list", "download"]),
        ("write-only", ["configure", "check", "upload", "prove", "list"]),
    ],
)
def test_pb_17_steps_suit_the_profile(profile: str, steps: list[str]) -> None:
    """In the order of the procedure, and then the other ways in."""
    found = [command.step for command in commands(make_record(profile=profile))]
    assert list(dict.fromkeys(found)) == [*steps, "python", "rclone"]


@pytest.mark.parametrize("profile", ["sp-050-003", "hardened", "write-only"])
def test_sp_27_completeness_is_proved_by_the_upload_as_a_dry_run(profile: str) -> None:
    lines = {command.step: command.line for command in commands(make_record(profile=profile))}
    assert lines["prove"] == lines["upload"].replace(" --profile", " --dryrun --profile")


def test_pb_17_no_profile_is_told_to_do_what_it_may_not() -> None:
    assert not re.search("upload|rclone check|acl=", "\n".join(lines_of(profile="read-only")))
    assert "download" not in "\n".join(lines_of(profile="write-only"))
    assert not any(re.search(r"\brm\b|delete|s3 mv", line) for line in lines_of())


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("profile", PROFILES)
def test_pb_17_texts_suit_the_profile(language: str, profile: str) -> None:
    """A key that only reads is not told how to send, nor the other way round."""
    record = make_record(language=language, profile=profile)
    text = poppler_text(render(record, SECRET))
    texts = catalogue(language)
    assert (texts["steps.upload.title"] in text) == record.profile.may_upload
    assert ("images/" in commands_text(record).decode()) == record.profile.may_upload
    assert ("“download”" in text or "«download»" in text) == record.profile.may_download
    assert (texts["graphical.acl"] in text) == record.profile.may_upload


@pytest.mark.parametrize("profile", ["sp-050-003", "hardened", "write-only"])
def test_sp_24_rclone_sends_the_one_access_header_that_the_policies_permit(profile: str) -> None:
    """And neither tries to make the bucket, nor reads with a key that may not."""
    (line,) = (line for line in lines_of(profile=profile) if line.startswith("rclone config"))
    assert "acl=bucket-owner-full-control no_check_bucket=true" in line
    assert ("no_head=true" in line) == (profile == "write-only")


def test_no_command_holds_the_secret() -> None:
    """PB-13: a command line is seen by other processes and kept in histories."""
    assert SECRET.get_secret_value() not in commands_text(make_record()).decode()


def test_local_mode_points_the_profile_at_the_local_endpoint() -> None:
    """Nobody's trial talks to real AWS; each tool is told the local certificate."""
    record = make_record(endpoint_url="https://127.0.0.1:4566", ca_bundle="/data/ca.pem")
    lines = list(commands(record))
    assert lines[1] == Command(
        "configure",
        'aws configure set endpoint_url "https://127.0.0.1:4566" --profile "handover-ABC-LLC"',
    )
    for step, line, installs in lines[2:]:
        assert installs or "/data/ca.pem" in line or "rclone config" in line
        assert step != "rclone" or "provider=AWS" not in line
    assert "endpoint=https://127.0.0.1:4566" in commands_text(record).decode()


def test_the_text_names_the_local_server_and_no_other() -> None:
    record = make_record(endpoint_url="https://127.0.0.1:4566", ca_bundle="/data/ca.pem")
    text = poppler_text(render(record, SECRET))
    assert re.search(r"Server +127\.0\.0\.1 +127\.0\.0\.1\n", text)
    assert re.search(r"4566 +4566\n", text)
    assert "amazonaws" not in text


def test_the_sovereign_cloud_has_hosts_of_its_own() -> None:
    text = poppler_text(render(make_record(region="eusc-de-east-1"), SECRET))
    assert "sts.eusc-de-east-1.amazonaws.eu" in text
    assert "amazonaws.com" not in text


@pytest.mark.parametrize("language", languages())
def test_sp_27_each_error_is_explained(language: str) -> None:
    text = poppler_text(render(make_record(language=language), SECRET))
    errors = text[text.index(catalogue(language)["errors.heading"]) :]
    for name in (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "ListObjectsV2",
        "DeleteObject",
        "403, HeadObject",
        "Could not connect",
        "support@example.org",
        "s3.eu-west-3.amazonaws.com",
        "legit-health-clients.s3.eu-west-3.amazonaws.com",
        "sts.eu-west-3.amazonaws.com",
    ):
        assert name in errors
