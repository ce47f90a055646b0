"""Taking away every version of one object, or all that a bucket holds."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.provider import ProviderError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def delete_versions(s3: "S3Client", bucket: str, key: str, *, bypass: bool) -> None:
    """Delete all versions and delete markers of the key, and of no other.

    Args:
        bypass: also those under a governance-mode retention.

    Raises:
        ProviderError: S3 kept one of them.
    """
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        entries = _entries(page)
        own = [entry for entry in entries if entry["Key"] == key]
        _delete(s3, bucket, own, bypass=bypass)
        # Sorted by key, the prefix itself comes first: past it lie other keys, however many.
        if len(own) < len(entries):
            return


def empty_bucket(s3: "S3Client", bucket: str) -> None:
    """Delete all versions, delete markers and unfinished uploads of the bucket.

    Raises:
        ProviderError: S3 kept one of the objects.
    """
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        _delete(s3, bucket, _entries(page), bypass=False)
    for uploads in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in uploads.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _entries(page: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def _delete(
    s3: "S3Client", bucket: str, entries: Iterable[Mapping[str, Any]], *, bypass: bool
) -> None:
    objects: Any = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
    if not objects:
        return
    options: Any = {"BypassGovernanceRetention": True} if bypass else {}
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, **options)
    for error in answer.get("Errors", []):
        raise ProviderError(
            error.get("Code", "Unknown"),
            f"S3 kept {error.get('Key')} in bucket {bucket}: {error.get('Message')}",
        )
