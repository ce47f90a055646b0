"""`aws.s3.BucketPolicy`."""

from typing import Any, ClassVar

from typing_extensions import override

from engine.aws import policies
from engine.aws.resource import Property, Schema
from engine.aws.s3_bucket_setting import WHERE, BucketSetting
from engine.provider import Properties


class BucketPolicy(BucketSetting):
    """The policy of a bucket."""

    type_name = "aws:s3/bucketPolicy:BucketPolicy"
    properties: ClassVar[Schema] = {
        **WHERE,
        "policy": Property(
            required=True,
            same=policies.equivalent,
            check=policies.document(policies.BUCKET_LIMIT),
            normal=policies.as_text,
        ),
    }
    absent = frozenset({"NoSuchBucketPolicy"})

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        s3.put_bucket_policy(**where, Policy=inputs["policy"])

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        return {"policy": s3.get_bucket_policy(**where)["Policy"]}

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        s3.delete_bucket_policy(**where)
