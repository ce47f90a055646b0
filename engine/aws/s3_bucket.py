"""`aws.s3.Bucket`, the bucket alone: its settings are resources of their own."""

from typing import Any, ClassVar

from botocore.exceptions import ClientError
from typing_extensions import override

from engine.aws import tagging
from engine.aws.failures import code_of, status_of
from engine.aws.limits import bucket_name, flag, tags, text
from engine.aws.resource import IncompleteError, Property, Resource, Schema
from engine.aws.s3_versions import empty_bucket
from engine.provider import Properties

# The region that is not named when a bucket is made in it.
UNNAMED_REGION = "us-east-1"


class Bucket(Resource):
    """A bucket; its id is its name."""

    type_name = "aws:s3/bucket:Bucket"
    properties: ClassVar[Schema] = {
        "bucket": Property(replaces=True, check=bucket_name),
        "bucketPrefix": Property(computed=True, replaces=True, check=text),
        "region": Property(computed=True, replaces=True, check=text),
        "objectLockEnabled": Property(computed=True, replaces=True, check=flag),
        "forceDestroy": Property(default=False, check=flag),
        "tags": Property(check=tags(50)),
    }
    computed = (
        "arn",
        "bucketDomainName",
        "bucketRegion",
        "bucketRegionalDomainName",
        "tagsAll",
    )
    identity = ("bucket",)
    named = "bucket"
    elsewhere = "declare it as its own resource (aws.s3.BucketVersioning and the like)"

    @override
    def generated_name(self, inputs: Properties, urn: str) -> str:
        """In lower case, as S3 wants it."""
        return super().generated_name(inputs, urn).lower()

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call, and one for its tags."""
        name, region = inputs["bucket"], inputs.get("region") or self.clients.region
        options: Any = {}
        if region != UNNAMED_REGION:
            options["CreateBucketConfiguration"] = {"LocationConstraint": region}
        if inputs.get("objectLockEnabled"):
            options["ObjectLockEnabledForBucket"] = True
        s3 = self.clients.s3(region)
        s3.create_bucket(Bucket=name, **options)
        if inputs.get("tags"):
            try:
                self._set_tags(s3, name, inputs["tags"])
            except ClientError as error:
                partial = self._outputs(name, {**inputs, "tags": None}, region)
                raise IncompleteError(name, partial) from error
        return name, self._outputs(name, inputs, region)

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The bucket as HeadBucket and GetBucketTagging tell it."""
        s3 = self.clients.s3(known.get("region"))
        try:
            region = s3.head_bucket(Bucket=id_).get("BucketRegion") or self.clients.region
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
        kept = ("bucketPrefix", "objectLockEnabled", "forceDestroy")
        actual = {
            **{name: known.get(name) for name in kept},
            "bucket": id_,
            "tags": self._tags(self.clients.s3(region), id_),
        }
        if actual["objectLockEnabled"] is None:
            actual["objectLockEnabled"] = self._locked(self.clients.s3(region), id_)
        return id_, self._outputs(id_, actual, region)

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """Tags change in place."""
        region = old.get("region") or self.clients.region
        if (old.get("tags") or {}) != (news.get("tags") or {}):
            self._set_tags(self.clients.s3(region), id_, news.get("tags"))
        return self._outputs(id_, news, region)

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """With `forceDestroy` and all that lies in it, else only when empty."""
        s3 = self.clients.s3(known.get("region"))
        try:
            if known.get("forceDestroy"):
                empty_bucket(s3, id_)
            s3.delete_bucket(Bucket=id_)
        except s3.exceptions.NoSuchBucket:
            return

    def _outputs(self, name: str, inputs: Properties, region: str) -> Properties:
        return self.outputs(
            name,
            {
                **inputs,
                "region": region,
                "objectLockEnabled": bool(inputs.get("objectLockEnabled")),
            },
            arn=f"arn:{self.clients.partition}:s3:::{name}",
            bucketDomainName=f"{name}.s3.amazonaws.com",
            bucketRegion=region,
            bucketRegionalDomainName=f"{name}.s3.{region}.amazonaws.com",
            tagsAll=inputs.get("tags") or {},
        )

    @staticmethod
    def _set_tags(s3: Any, name: str, wanted: dict[str, str] | None) -> None:
        if wanted:
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tagging.to_aws(wanted)})
        else:
            s3.delete_bucket_tagging(Bucket=name)

    @staticmethod
    def _tags(s3: Any, name: str) -> dict[str, str] | None:
        try:
            return tagging.from_aws(s3.get_bucket_tagging(Bucket=name)["TagSet"])
        except ClientError as error:
            if code_of(error) == "NoSuchTagSet":
                return None
            raise

    @staticmethod
    def _locked(s3: Any, name: str) -> bool:
        try:
            answer = s3.get_object_lock_configuration(Bucket=name)
        except ClientError as error:
            if code_of(error) == "ObjectLockConfigurationNotFoundError":
                return False
            raise
        return bool(answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled")
