"""A client's engineer: a PDF, an empty computer, and the tools that the PDF names."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from types_boto3_iam import IAMClient
from types_boto3_s3 import S3Client

from engine.localaws import LocalAws
from pdf import RecordInput
from stacks.policies import area_policy
from tests.pdf.records import make_record

TOOLS = Path(sys.executable).parent
# The tools' own smallest part: a picture of six megabytes goes up in two.
AWS_CONFIG = "[profile {name}]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n"
RCLONE_PARTS = {"RCLONE_S3_UPLOAD_CUTOFF": "5Mi", "RCLONE_S3_CHUNK_SIZE": "5Mi"}


@dataclass(frozen=True)
class Area:
    """An area of a profile, opened by hand, with something in it."""

    record: RecordInput
    secret: str


def open_area(iam: IAMClient, s3: S3Client, local: LocalAws, bucket: str, profile: str) -> Area:
    """Make a user with the profile's own policy, and the placeholder and one file in its area."""
    slug = f"{bucket}-{profile}"
    iam.create_user(UserName=slug)
    policy = area_policy(profile, bucket=bucket, slug=slug, region=local.region)
    iam.put_user_policy(
        UserName=slug, PolicyName=f"{slug}_s3_access", PolicyDocument=json.dumps(policy)
    )
    key = iam.create_access_key(UserName=slug)["AccessKey"]
    s3.put_object(Bucket=bucket, Key=f"{slug}/images/", Body=b"")
    s3.put_object(Bucket=bucket, Key=f"{slug}/images/earlier.txt", Body=b"earlier")
    record = make_record(
        profile=profile,
        bucket=bucket,
        prefix=f"{slug}/",
        upload_path=f"{slug}/images/",
        region=local.region,
        user_name=slug,
        profile_name=f"handover-{slug}",
        access_key_id=key["AccessKeyId"],
        endpoint_url=local.endpoint_url,
        ca_bundle=str(local.ca_bundle),
    )
    return Area(record, key["SecretAccessKey"])


class Engineer:
    """Runs printed lines in a folder of their own, with nothing set up but the tools."""

    def __init__(self, area: Area, home: Path) -> None:
        self._area = area
        self._home = home
        home.mkdir()
        # How large a part is, is the one thing set beforehand: real pictures are small here.
        (home / "config").write_text(AWS_CONFIG.format(name=area.record.profile_name))

    def photograph(self, name: str, *, megabytes: int = 0) -> Path:
        """Put a picture into the folder "images": a small JPEG, or a TIFF of some megabytes."""
        file = self._home / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if megabytes:
            side = 1024
            pixels = random.Random(name).randbytes(side * side * megabytes)  # noqa: S311  # no secret
            Image.frombytes("L", (side, side * megabytes), pixels).save(file, "TIFF")
        else:
            Image.radial_gradient("L").convert("RGB").save(file, "JPEG")
        return file

    def run(self, line: str) -> str:
        """Run one line as it stands, which must succeed; return what it prints."""
        answer = self.attempt(line)
        assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"
        # rclone tries thrice, and an error at first is no error in the end; to a reader it is one.
        assert "ERROR" not in answer.stderr, f"{line}\n{answer.stderr}"
        return answer.stdout

    def attempt(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Run one line as it stands, answering what `aws configure` asks."""
        record = self._area.record
        environment = {
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._home),
            "AWS_CONFIG_FILE": str(self._home / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._home / "credentials"),
            **RCLONE_PARTS,
        }
        return subprocess.run(
            ["bash", "-c", line],
            input=f"{record.access_key_id}\n{self._area.secret}\n{record.region}\n\n",
            capture_output=True,
            text=True,
            env=environment,
            cwd=self._home,
            timeout=60,
        )

    def downloaded(self) -> dict[str, bytes]:
        """The files in the folder "download", by their path in the area; then none of them."""
        return dict(self._emptied(self._home / "download"))

    def _emptied(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        for file in [found for found in folder.rglob("*") if found.is_file()]:
            yield file.relative_to(folder).as_posix(), file.read_bytes()
            file.unlink()

    def profiles(self) -> set[str]:
        """The section headers of all configuration that the commands wrote."""
        files = (self._home / "config", self._home / "credentials")
        lines = (line for file in files for line in file.read_text().splitlines())
        return {line.strip("[]") for line in lines if line.startswith("[")}
