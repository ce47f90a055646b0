"""The foundation: what it sets, that it is protected, and that an existing bucket is adopted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.localaws import LocalAws
from stacks.areas import Areas
from stacks.automation import Stacks
from stacks.backend import Backend
from stacks.failures import StackError
from stacks.foundation import FoundationInputs, FoundationProgram
from stacks.foundation_stack import Foundation
from tests.stacks.conftest import BUCKET, GROUP


@pytest.fixture
def elsewhere(
    local_aws: LocalAws, tmp_path: Path, unique: str, inputs: FoundationInputs
) -> Foundation:
    """A foundation of its own: another backend, bucket, group and boundary."""
    (tmp_path / "state").mkdir()
    stacks = Stacks(
        Backend(
            url=f"file://{tmp_path / 'state'}",
            engine="embedded",
            environment=local_aws.environment(),
            passphrase="correct horse",
            work_directory=tmp_path / "work",
        )
    )
    named = replace(inputs, bucket=f"{unique}-b", group=f"{unique}-g", boundary_name=unique)
    return Foundation(stacks, named)


def make_bucket(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def test_the_bucket_is_set_as_health_data_needs_it(areas: Areas, s3: Any) -> None:
    """SP-18, RX-02, RX-03: encrypted, versioned, private, TLS only, logged, tidied."""
    assert areas.readiness().foundation
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    ownership = s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    logging = s3.get_bucket_logging(Bucket=BUCKET)["LoggingEnabled"]
    assert logging["TargetBucket"] == f"{BUCKET}-access-logs"
    [rule] = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7


def test_applying_twice_changes_nothing(
    areas: Areas, stacks: Stacks, inputs: FoundationInputs
) -> None:
    assert areas.readiness().foundation
    assert Foundation(stacks, inputs).preview() == []


def test_the_foundation_can_not_be_destroyed(
    areas: Areas, stacks: Stacks, inputs: FoundationInputs, s3: Any
) -> None:
    """Protected and retained: a destroy is refused and the bucket stays."""
    assert areas.readiness().foundation
    with pytest.raises(StackError, match="protect"):
        stacks.destroy(FoundationProgram(inputs))
    s3.head_bucket(Bucket=BUCKET)


def test_without_a_foundation_readiness_says_what_to_do(
    stacks: Stacks, areas_without_foundation: Areas
) -> None:
    missing = Areas(stacks, bucket="no-such-bucket-here", region="eu-west-1", group=GROUP)
    readiness = missing.readiness()
    assert not readiness.foundation
    assert "handover foundation up" in readiness.problems[0]


def test_an_existing_bucket_and_group_are_adopted_with_what_lies_in_them(
    elsewhere: Foundation, inputs: FoundationInputs, unique: str, s3: Any, iam: Any
) -> None:
    make_bucket(s3, f"{unique}-b")
    s3.put_object(Bucket=f"{unique}-b", Key="kept", Body=b"x")
    iam.create_group(GroupName=f"{unique}-g")
    found, plan = elsewhere.preview_adopt()
    assert set(found.imports) == {"clients", "group"}
    assert {change.name: change.operation for change in plan}["clients"] == "import"
    elsewhere.adopt()
    assert s3.get_object(Bucket=f"{unique}-b", Key="kept")["Body"].read() == b"x"
    assert s3.get_bucket_versioning(Bucket=f"{unique}-b")["Status"] == "Enabled"
    assert elsewhere.discover().imports == {}
    assert elsewhere.preview() == []


@pytest.mark.parametrize("lost", ["clients", "group", "boundary", "clients-versioning"])
def test_an_up_that_died_in_the_middle_is_carried_on(
    lost: str, elsewhere: Foundation, unique: str, tmp_path: Path, s3: Any
) -> None:
    """What was begun, exists in AWS and was never written down is ours: it is taken over."""
    elsewhere.up()
    forget(tmp_path / "state" / ".pulumi/stacks/handover-foundation/main.json", lost)
    elsewhere.up()
    assert elsewhere.preview() == []
    assert s3.get_bucket_versioning(Bucket=f"{unique}-b")["Status"] == "Enabled"


def forget(checkpoint: Path, name: str) -> None:
    """Leave the checkpoint as an engine that died after AWS's answer and before its note.

    What depends on the lost resource is lost with it: it was made later.
    """
    document = json.loads(checkpoint.read_text())
    latest = document["checkpoint"]["latest"]
    [lost] = [r for r in latest["resources"] if r["urn"].endswith(f"::{name}")]
    gone = {lost["urn"]}
    for resource in latest["resources"]:
        if gone & set(resource.get("dependencies") or []):
            gone.add(resource["urn"])
    latest["resources"] = [r for r in latest["resources"] if r["urn"] not in gone]
    begun = {field: value for field, value in lost.items() if field not in ("id", "outputs")}
    latest["pending_operations"] = [{"resource": begun, "type": "creating"}]
    checkpoint.write_text(json.dumps(document))


def test_settings_that_a_bucket_has_already_are_not_replaced_silently(
    elsewhere: Foundation, unique: str, s3: Any
) -> None:
    make_bucket(s3, f"{unique}-b")
    s3.put_bucket_policy(
        Bucket=f"{unique}-b",
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": {"AWS": "*"},
                        "Action": "s3:DeleteBucket",
                        "Resource": f"arn:aws:s3:::{unique}-b",
                    }
                ],
            }
        ),
    )
    with pytest.raises(StackError, match="bucket policy"):
        elsewhere.adopt()
    elsewhere.adopt(replace_settings=True)


def test_an_existing_bucket_is_not_taken_by_a_plain_up(
    elsewhere: Foundation, unique: str, s3: Any
) -> None:
    make_bucket(s3, f"{unique}-b")
    with pytest.raises(StackError) as caught:
        elsewhere.up()
    assert caught.value.failure.code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
    assert "adopt" in caught.value.failure.detail
