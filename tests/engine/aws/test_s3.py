"""Objects, buckets and their settings against the local AWS."""

import json
from typing import Any

import pytest
from types_boto3_s3 import S3Client

from engine.provider import ProviderError
from tests.engine.aws.driver import Driver

OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
BUCKET = "aws:s3/bucket:Bucket"


def versions(s3: S3Client, bucket: str) -> list[str]:
    page = s3.list_object_versions(Bucket=bucket)
    return [item["Key"] for item in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]


def test_placeholder_object_life(driver: Driver, s3: S3Client, bucket: str) -> None:
    """SP-17: an empty object at `<slug>/images/`."""
    news = {"bucket": bucket, "key": "ABC-LLC/images/", "content": ""}
    made = driver.make(OBJECT, **news)
    assert made.id == f"{bucket}/ABC-LLC/images/"
    assert made.outputs["arn"] == f"arn:aws:s3:::{bucket}/ABC-LLC/images/"
    assert not made.diff(news).changes
    made.assert_settled()
    made.update({**news, "content": "text", "contentType": "text/plain", "tags": {"a": "1"}})
    assert s3.get_object(Bucket=bucket, Key=news["key"])["Body"].read() == b"text"
    made.assert_settled()
    made.assert_deleted()


def test_object_drift_replacement_and_import(driver: Driver, s3: S3Client, bucket: str) -> None:
    news = {"bucket": bucket, "key": "a/b.txt", "content": "ours"}
    made = driver.make(OBJECT, **news)
    s3.put_object(Bucket=bucket, Key="a/b.txt", Body=b"theirs", ContentType="text/html")
    assert made.refresh()
    assert made.outputs["content"] == "theirs"
    made.update(news)
    assert s3.get_object(Bucket=bucket, Key="a/b.txt")["Body"].read() == b"ours"
    assert made.diff({**news, "key": "a/c.txt"}).replaces == ("key",)
    assert not driver.adopt(OBJECT, made.id).diff({"bucket": bucket, "key": "a/b.txt"}).changes
    s3.delete_object(Bucket=bucket, Key="a/b.txt")
    assert not made.refresh()
    made.delete()


def test_object_in_a_versioned_bucket_goes_with_all_its_versions_and_no_other(
    driver: Driver, s3: S3Client, bucket: str
) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = driver.make(OBJECT, bucket=bucket, key="ABC-LLC/images/", content="1")
    assert made.outputs["versionId"]
    made.update({"bucket": bucket, "key": "ABC-LLC/images/", "content": "2"})
    s3.put_object(Bucket=bucket, Key="ABC-LLC/images/photo.jpg", Body=b"client's")
    s3.delete_object(Bucket=bucket, Key="ABC-LLC/images/")
    made.assert_deleted()
    assert versions(s3, bucket) == ["ABC-LLC/images/photo.jpg"]


def test_object_without_a_bucket(driver: Driver, unique: str) -> None:
    with pytest.raises(ProviderError, match="AWS refused PutObject") as caught:
        driver.make(OBJECT, bucket=f"{unique}-none", key="k")
    assert caught.value.code == "NoSuchBucket"


@pytest.mark.parametrize("key", ["/a", "./a", "a//b", "x" * 1025, ""])
def test_object_keys_that_tools_would_change_are_refused(driver: Driver, key: str) -> None:
    assert list(driver.failures(OBJECT, bucket="bucket", key=key)) == ["key"]


def test_bucket_life(driver: Driver, s3: S3Client, unique: str) -> None:
    """SP-18: the bucket's name is given; tags change in place, names and regions do not."""
    news = {"bucket": unique, "tags": {"a": "1"}}
    made = driver.make(BUCKET, **news)
    assert made.id == unique
    assert made.outputs["region"] == made.outputs["bucketRegion"] == "eu-west-1"
    assert made.outputs["arn"] == f"arn:aws:s3:::{unique}"
    made.assert_settled()
    made.update({"bucket": unique, "tags": {"b": "2"}})
    made.update({"bucket": unique})
    made.assert_settled()
    s3.put_bucket_tagging(Bucket=unique, Tagging={"TagSet": [{"Key": "x", "Value": "y"}]})
    assert made.refresh()
    assert made.diff({"bucket": unique}).diffs == ("tags",)
    assert made.diff({"bucket": f"{unique}-2"}).replaces == ("bucket",)
    s3.put_object(Bucket=unique, Key="k", Body=b"")
    with pytest.raises(ProviderError, match="empty it first") as caught:
        made.delete()
    assert caught.value.code == "BucketNotEmpty"
    s3.delete_object(Bucket=unique, Key="k")
    made.assert_deleted()


def test_bucket_force_destroy_empties_it(driver: Driver, s3: S3Client, unique: str) -> None:
    made = driver.make(BUCKET, bucket=unique, forceDestroy=True)
    s3.put_bucket_versioning(Bucket=unique, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=unique, Key="k", Body=body)
    s3.delete_object(Bucket=unique, Key="k")
    made.assert_deleted()


def test_bucket_import_and_collision(driver: Driver, bucket: str) -> None:
    made = driver.adopt(BUCKET, bucket)
    assert made.inputs == {"bucket": bucket}
    assert not made.diff({"bucket": bucket}).changes
    with pytest.raises(ProviderError) as caught:
        driver.make(BUCKET, bucket=bucket)
    assert caught.value.code == "BucketAlreadyOwnedByYou"
    assert "import it" in caught.value.message


@pytest.mark.parametrize(
    "name", ["ab", "Upper", "under_score", "a..b", "192.168.0.1", "xn--a", "a-s3alias", "-ab"]
)
def test_bucket_names_that_s3_refuses(driver: Driver, name: str) -> None:
    assert list(driver.failures(BUCKET, bucket=name)) == ["bucket"]


def test_bucket_settings_belong_in_their_own_resources(driver: Driver) -> None:
    failures = driver.failures(BUCKET, bucket="bucket", versioning={"enabled": True})
    assert "its own resource" in failures["versioning"]


ENCRYPTION = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}
ABORT = {
    "id": "abort",
    "status": "Enabled",
    "filter": {},
    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
}
EXPIRE = {
    "id": "expire",
    "status": "Disabled",
    "filter": {"and": {"prefix": "logs/", "tags": {"a": "1", "b": "2"}}},
    "expiration": {"days": 30},
    "noncurrentVersionExpiration": {"noncurrentDays": 5},
    "transitions": [{"days": 10, "storageClass": "GLACIER"}],
}
BLOCKED = dict.fromkeys(
    ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
)
# type, properties, changed properties, whether deleting leaves something to read
SETTINGS: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    (
        "bucketVersioning:BucketVersioning",
        {"versioningConfiguration": {"status": "Enabled"}},
        {"versioningConfiguration": {"status": "Suspended"}},
        True,
    ),
    (
        "bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        {"rules": [ENCRYPTION]},
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}]},
        True,
    ),
    (
        "bucketPublicAccessBlock:BucketPublicAccessBlock",
        BLOCKED,
        {**BLOCKED, "blockPublicPolicy": False},
        False,
    ),
    (
        "bucketOwnershipControls:BucketOwnershipControls",
        {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        {"rule": {"objectOwnership": "BucketOwnerPreferred"}},
        False,
    ),
    (
        "bucketLogging:BucketLogging",
        {"targetBucket": "BUCKET", "targetPrefix": "one/"},
        {"targetBucket": "BUCKET", "targetPrefix": "two/"},
        False,
    ),
    (
        "bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        {"rules": [ABORT, EXPIRE]},
        {"rules": [ABORT]},
        False,
    ),
    (
        "bucketPolicy:BucketPolicy",
        {"policy": "DENY s3:DeleteBucket"},
        {"policy": "DENY s3:PutBucketAcl"},
        False,
    ),
]


def filled(properties: dict[str, Any], bucket: str) -> dict[str, Any]:
    """The properties for one bucket: its name, and a policy about it."""
    values = {name: bucket if item == "BUCKET" else item for name, item in properties.items()}
    if "policy" in values:
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": values["policy"].removeprefix("DENY "),
            "Resource": f"arn:aws:s3:::{bucket}",
        }
        values["policy"] = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return {"bucket": bucket, **values}


@pytest.mark.parametrize(
    ("kind", "first", "second", "remains"), SETTINGS, ids=[row[0].split(":")[1] for row in SETTINGS]
)
def test_setting_life(
    driver: Driver,
    bucket: str,
    kind: str,
    first: dict[str, Any],
    second: dict[str, Any],
    remains: bool,
) -> None:
    """RX-02, RX-03: made, read, changed, seen to drift, mended, imported and taken away."""
    type_ = f"aws:s3/{kind}"
    one, two = filled(first, bucket), filled(second, bucket)
    made = driver.make(type_, **one)
    assert made.id == bucket
    made.assert_settled()
    assert not made.diff(one).changes
    made.update(two)
    made.assert_settled()
    # Drift: somebody sets the first one again behind the engine's back.
    driver.make(type_, **one)
    assert made.refresh()
    assert made.diff(two).changes
    assert not made.diff(one).changes
    made.update(two)
    adopted = driver.adopt(type_, bucket)
    assert not adopted.diff(two).changes
    assert adopted.diff({**two, "bucket": f"{bucket}-2"}).replaces == ("bucket",)
    made.delete()
    assert made.refresh() is remains


@pytest.mark.parametrize("kind", [row[0] for row in SETTINGS])
def test_setting_of_a_bucket_that_is_gone(
    driver: Driver, s3: S3Client, bucket: str, kind: str
) -> None:
    properties = next(row[1] for row in SETTINGS if row[0] == kind)
    made = driver.make(f"aws:s3/{kind}", **filled(properties, bucket))
    s3.delete_bucket(Bucket=bucket)
    assert not made.refresh()
    made.delete()


def test_unknown_versioning_status_is_named(driver: Driver) -> None:
    type_ = "aws:s3/bucketVersioning:BucketVersioning"
    failures = driver.failures(type_, bucket="bucket", versioningConfiguration={"status": "On"})
    assert "Enabled, Suspended, Disabled" in failures["versioningConfiguration"]


def test_what_s3_says_by_itself_is_no_drift(driver: Driver) -> None:
    versioning = "aws:s3/bucketVersioning:BucketVersioning"
    told: dict[str, Any] = {"bucket": "b", "versioningConfiguration": {"status": "Enabled"}}
    held = {**told, "versioningConfiguration": {"status": "Enabled", "mfaDelete": "Disabled"}}
    assert not driver.provider.diff(versioning, "b", told, held, told, []).changes
    held["versioningConfiguration"] = {"status": "Enabled", "mfaDelete": "Enabled"}
    assert driver.provider.diff(versioning, "b", told, held, told, []).changes
    encryption = SETTINGS[1][0]
    told = {"bucket": "b", "rules": [ENCRYPTION]}
    held = {**told, "rules": [{**ENCRYPTION, "blockedEncryptionTypes": ["SSE-C"]}]}
    assert not driver.provider.diff(f"aws:s3/{encryption}", "b", told, held, told, []).changes
