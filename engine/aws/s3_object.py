"""`aws.s3.BucketObjectv2`, and `aws.s3.BucketObject`, its older name."""

import base64
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from typing_extensions import override

from engine.aws import tagging
from engine.aws.failures import status_of
from engine.aws.limits import base64_text, bucket_name, flag, mapping, object_key, tags, text
from engine.aws.resource import Property, Resource, Schema
from engine.aws.s3_versions import delete_versions
from engine.provider import CheckFailure, Properties

# Drift of the content is told up to this size, in bytes; a larger body is only told to differ.
READABLE = 1 << 20
DEFAULT_TYPE = "application/octet-stream"
# Properties that PutObject takes and HeadObject tells, under AWS's names.
HEADERS = {
    "cacheControl": "CacheControl",
    "contentDisposition": "ContentDisposition",
    "contentEncoding": "ContentEncoding",
    "contentLanguage": "ContentLanguage",
    "contentType": "ContentType",
    "serverSideEncryption": "ServerSideEncryption",
    "storageClass": "StorageClass",
    "kmsKeyId": "SSEKMSKeyId",
    "bucketKeyEnabled": "BucketKeyEnabled",
    "metadata": "Metadata",
}


class BucketObjectv2(Resource):
    """An object; its id is `bucket/key`."""

    type_name = "aws:s3/bucketObjectv2:BucketObjectv2"
    properties: ClassVar[Schema] = {
        "bucket": Property(required=True, replaces=True, check=bucket_name),
        "key": Property(required=True, replaces=True, check=object_key),
        "region": Property(computed=True, replaces=True, check=text),
        "content": Property(check=text),
        "contentBase64": Property(check=base64_text),
        "cacheControl": Property(check=text),
        "contentDisposition": Property(check=text),
        "contentEncoding": Property(check=text),
        "contentLanguage": Property(check=text),
        "contentType": Property(computed=True, check=text),
        "serverSideEncryption": Property(computed=True, check=text),
        "storageClass": Property(computed=True, check=text),
        "kmsKeyId": Property(computed=True, check=text),
        "bucketKeyEnabled": Property(computed=True, check=flag),
        "metadata": Property(check=mapping),
        "forceDestroy": Property(default=False, check=flag),
        "tags": Property(check=tags(10)),
    }
    computed = ("arn", "etag", "tagsAll", "versionId")
    identity = ("bucket", "key")

    @override
    def conflicts(self, inputs: Properties) -> Iterator[CheckFailure]:
        """Content is given in one way."""
        if "content" in inputs and "contentBase64" in inputs:
            yield CheckFailure("contentBase64", "cannot be given together with content")

    @override
    def defaults(self, inputs: Properties, olds: Properties, urn: str) -> Properties:
        """The key is the resource's name where none is given."""
        return {**super().defaults(inputs, olds, urn), "key": urn.rpartition("::")[2]}

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call; its answer holds what AWS computed."""
        return f"{inputs['bucket']}/{inputs['key']}", self._put(inputs)

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The object as HeadObject tells it, and its content if it is another than recorded."""
        bucket, _, key = id_.removeprefix("s3://").partition("/")
        bucket, key = known.get("bucket", bucket), known.get("key", key)
        s3 = self.clients.s3(known.get("region"))
        try:
            head: Any = s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
        found = {name: head.get(header) for name, header in HEADERS.items()}
        inputs = {
            **{name: known.get(name) for name in ("content", "contentBase64", "forceDestroy")},
            **found,
            "bucket": bucket,
            "key": key,
            "tags": self._tags(s3, bucket, key) if known.get("tags") or not known else None,
        }
        if known and head["ETag"].strip('"') != known.get("etag"):
            inputs.update(self._content(s3, bucket, key, head["ContentLength"], known))
        return f"{bucket}/{key}", self._outputs(inputs, head)

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """The object is written anew."""
        return self._put(news)

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """All versions of it where the bucket keeps versions, else the object."""
        s3, bucket, key = self.clients.s3(known.get("region")), known["bucket"], known["key"]
        try:
            if known.get("versionId"):
                delete_versions(s3, bucket, key, bypass=bool(known.get("forceDestroy")))
            else:
                s3.delete_object(Bucket=bucket, Key=key)
        except s3.exceptions.NoSuchBucket:
            return

    def _put(self, inputs: Properties) -> Properties:
        """Write the object; what the program leaves open is AWS's choice."""
        headers: Any = {
            header: inputs[name] for name, header in HEADERS.items() if inputs.get(name) is not None
        }
        headers.setdefault("ContentType", DEFAULT_TYPE)
        if "SSEKMSKeyId" in headers:
            headers.setdefault("ServerSideEncryption", "aws:kms")
        if inputs.get("tags"):
            headers["Tagging"] = urlencode(inputs["tags"])
        answer: Any = self.clients.s3(inputs.get("region")).put_object(
            Bucket=inputs["bucket"], Key=inputs["key"], Body=body(inputs), **headers
        )
        return self._outputs({**inputs, "contentType": headers["ContentType"]}, answer)

    def _outputs(self, inputs: Properties, answer: Any) -> Properties:
        bucket, key = inputs["bucket"], inputs["key"]
        settled = {
            "region": inputs.get("region") or self.clients.region,
            "serverSideEncryption": answer.get("ServerSideEncryption"),
            "storageClass": inputs.get("storageClass") or "STANDARD",
            "kmsKeyId": answer.get("SSEKMSKeyId"),
            "bucketKeyEnabled": answer.get("BucketKeyEnabled", False),
        }
        return self.outputs(
            f"{bucket}/{key}",
            {**inputs, **settled},
            arn=f"arn:{self.clients.partition}:s3:::{bucket}/{key}",
            etag=answer["ETag"].strip('"'),
            tagsAll=inputs.get("tags") or {},
            versionId=answer.get("VersionId"),
        )

    @staticmethod
    def _tags(s3: Any, bucket: str, key: str) -> dict[str, str] | None:
        return tagging.from_aws(s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"])

    @staticmethod
    def _content(s3: Any, bucket: str, key: str, size: int, known: Properties) -> Properties:
        """The content in the recorded form, None where it is too large or no text."""
        form = "contentBase64" if known.get("contentBase64") is not None else "content"
        if size > READABLE:
            return {form: None}
        raw: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if form == "contentBase64":
            return {form: base64.b64encode(raw).decode("ascii")}
        try:
            return {form: raw.decode("utf-8")}
        except UnicodeDecodeError:
            return {form: None}


class BucketObject(BucketObjectv2):
    """The older name of the same."""

    type_name = "aws:s3/bucketObject:BucketObject"


def body(inputs: Properties) -> bytes:
    """The object's content."""
    if inputs.get("contentBase64") is not None:
        return base64.b64decode(inputs["contentBase64"])
    return str(inputs.get("content") or "").encode("utf-8")
