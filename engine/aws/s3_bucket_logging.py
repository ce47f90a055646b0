"""`aws.s3.BucketLogging`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from engine.aws.limits import bucket_name, list_of_maps, mapping, text
from engine.aws.resource import Property, Schema
from engine.aws.s3_bucket_setting import OWNED, BucketSetting
from engine.provider import Properties


class BucketLogging(BucketSetting):
    """Server access logs of a bucket, into another bucket of the same region and account."""

    type_name = "aws:s3/bucketLogging:BucketLogging"
    properties: ClassVar[Schema] = {
        **OWNED,
        "targetBucket": Property(required=True, check=bucket_name),
        "targetPrefix": Property(required=True, check=text),
        "targetGrants": Property(check=list_of_maps),
        "targetObjectKeyFormat": Property(check=mapping),
    }
    irregular: ClassVar[Mapping[str, str]] = {"id": "ID", "uri": "URI"}

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        targets = {name: value for name, value in inputs.items() if name.startswith("target")}
        s3.put_bucket_logging(**where, BucketLoggingStatus={"LoggingEnabled": self.to_aws(targets)})

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        enabled = s3.get_bucket_logging(**where).get("LoggingEnabled")
        found: Properties | None = self.from_aws(enabled) if enabled else None
        return found

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        s3.put_bucket_logging(**where, BucketLoggingStatus={})
