"""The commands of a record, as text and run for real (SP-27)."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from types_boto3_iam import IAMClient
from types_boto3_s3 import S3Client

from engine.localaws import LocalAws
from pdf import RecordInput, commands
from tests.pdf.records import LONGEST, make_record

AWS = Path(sys.executable).with_name("aws")
LIST = ["s3:ListBucket"]
WRITE = ["s3:PutObject"]
READ = ["s3:GetObject"]


@pytest.mark.parametrize("profile", ["sp-050-003", "hardened", "read-only", "write-only"])
@pytest.mark.parametrize("changes", [{}, LONGEST])
def test_sp_27_commands_suit_every_shell(profile: str, changes: dict[str, Any]) -> None:
    """One line, double quotes only, nothing that a shell expands, a named profile, closed paths."""
    for _, line in commands(make_record(**changes, profile=profile)):
        assert re.fullmatch(r'[A-Za-z0-9 "/:._-]+', line), line
        assert line.count('"') % 2 == 0
        assert re.search(r'--profile "handover-[A-Za-z0-9-]+"$', line)
        for path in re.findall(r'"(s3://[^"]*|images[^"]*|download[^"]*)"', line):
            assert path.endswith("/")


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
    assert [command.step for command in commands(make_record(profile=profile))] == steps


def test_local_mode_points_the_profile_at_the_local_endpoint() -> None:
    record = make_record(endpoint_url="https://127.0.0.1:4566", ca_bundle="/data/ca.pem")
    lines = [command.line for command in commands(record) if command.step == "configure"]
    assert lines[1:] == [
        'aws configure set endpoint_url "https://127.0.0.1:4566" --profile "handover-ABC-LLC"',
        'aws configure set ca_bundle "/data/ca.pem" --profile "handover-ABC-LLC"',
    ]


@dataclass(frozen=True)
class Engineer:
    """A client's engineer: a record, its secret and an empty computer."""

    record: RecordInput
    secret: str
    home: Path

    def run(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Run one printed line as it stands, answering what `aws configure` asks."""
        answers = f"{self.record.access_key_id}\n{self.secret}\n{self.record.region}\n\n"
        environment = {
            "PATH": f"{AWS.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "AWS_CONFIG_FILE": str(self.home / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.home / "credentials"),
        }
        return subprocess.run(
            ["bash", "-c", line],
            input=answers,
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.home,
            timeout=60,
        )

    def step(self, name: str) -> str:
        """Run the lines of a step, which must succeed; return what they print."""
        printed = ""
        for command in commands(self.record):
            if command.step == name:
                answer = self.run(command.line)
                assert answer.returncode == 0, answer.stderr
                printed += answer.stdout
        return printed


@pytest.fixture
def engineer_of(
    iam: IAMClient, s3: S3Client, local_aws: LocalAws, bucket: str, unique: str, tmp_path: Path
) -> Callable[[str, list[str]], Engineer]:
    """Open an area for a profile by hand, and give its engineer a computer."""

    def make(profile: str, actions: list[str]) -> Engineer:
        iam.create_user(UserName=unique)
        area = f"arn:aws:s3:::{bucket}"
        inside: dict[str, Any] = {
            "Effect": "Allow",
            "Action": actions,
            "Resource": f"{area}/{unique}/*",
        }
        listing = {
            "Effect": "Allow",
            "Action": LIST,
            "Resource": area,
            "Condition": {"StringLike": {"s3:prefix": [f"{unique}/*"]}},
        }
        policy = {"Version": "2012-10-17", "Statement": [inside, listing]}
        iam.put_user_policy(UserName=unique, PolicyName="area", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=unique)["AccessKey"]
        s3.put_object(Bucket=bucket, Key=f"{unique}/images/earlier.txt", Body=b"earlier")
        record = make_record(
            profile=profile,
            bucket=bucket,
            prefix=f"{unique}/",
            upload_path=f"{unique}/images/",
            region=local_aws.region,
            user_name=unique,
            profile_name=f"handover-{unique}",
            access_key_id=key["AccessKeyId"],
            endpoint_url=local_aws.endpoint_url,
            ca_bundle=str(local_aws.ca_bundle),
        )
        home = tmp_path / "home"
        (home / "images" / "one two").mkdir(parents=True)
        (home / "images" / "one two" / "picture.bin").write_bytes(bytes(range(256)) * 40_000)
        return Engineer(record, key["SecretAccessKey"], home)

    return make


EngineerOf = Callable[[str, list[str]], Engineer]


def test_sp_27_commands_of_the_default_profile_work(engineer_of: EngineerOf) -> None:
    """Configure, check, upload (one file in several parts), prove, list, download."""
    engineer = engineer_of("hardened", READ + WRITE)
    engineer.step("configure")
    assert engineer.record.user_name in engineer.step("check")
    assert "upload:" in engineer.step("upload")
    assert engineer.step("prove") == ""
    listed = engineer.step("list")
    assert "one two/picture.bin" in listed
    assert "earlier.txt" in listed
    engineer.step("download")
    sent = engineer.home / "images/one two/picture.bin"
    assert (engineer.home / "download/images/one two/picture.bin").read_bytes() == sent.read_bytes()


def test_sp_27_commands_touch_no_default_profile(engineer_of: EngineerOf) -> None:
    engineer = engineer_of("hardened", READ + WRITE)
    engineer.step("configure")
    written = (engineer.home / "credentials").read_text() + (engineer.home / "config").read_text()
    assert re.findall(r"^\[(.*)\]$", written, re.MULTILINE) == [
        engineer.record.profile_name,
        f"profile {engineer.record.profile_name}",
    ]


def test_sp_27_commands_of_a_write_only_profile_work(engineer_of: EngineerOf) -> None:
    engineer = engineer_of("write-only", WRITE)
    engineer.step("configure")
    engineer.step("upload")
    assert engineer.step("prove") == ""
    assert "picture.bin" in engineer.step("list")


def test_sp_27_commands_of_a_read_only_profile_work(engineer_of: EngineerOf) -> None:
    engineer = engineer_of("read-only", READ)
    engineer.step("configure")
    engineer.step("download")
    assert (engineer.home / "download/images/earlier.txt").read_bytes() == b"earlier"
