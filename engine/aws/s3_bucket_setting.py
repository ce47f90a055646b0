"""The base of a bucket's settings, each a resource of its own whose id is the bucket's name."""

import random
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from typing_extensions import override

from engine.aws.failures import code_of
from engine.aws.limits import bucket_name, text
from engine.aws.resource import BRIDGE_DEFAULTS, Property, Resource
from engine.provider import Properties

WHERE = {
    "bucket": Property(required=True, replaces=True, check=bucket_name),
    "region": Property(computed=True, replaces=True, check=text),
}
OWNED = {**WHERE, "expectedBucketOwner": Property(replaces=True, check=text)}
# S3 refuses two changes of one bucket's settings at the same moment.
COLLISION = "OperationAborted"
PATIENCE = 30.0


class BucketSetting(Resource):
    """One setting of a bucket.

    Attributes:
        absent: the codes with which S3 says that the bucket has no such setting.
        irregular: AWS's names that are not just Pulumi's with a capital letter.
    """

    identity = ("bucket",)
    absent: ClassVar[frozenset[str]] = frozenset()
    irregular: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        """Set it."""

    @abstractmethod
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        """Its properties, None where there is none."""

    @abstractmethod
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        """Take it away."""

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call."""
        id_ = ",".join(filter(None, (inputs["bucket"], inputs.get("expectedBucketOwner"))))
        return id_, self._set(id_, inputs)

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The setting as S3 holds it."""
        try:
            actual = self._read(self.clients.s3(known.get("region")), place(id_))
        except ClientError as error:
            if code_of(error) in self.absent | {"NoSuchBucket"}:
                return None
            raise
        if actual is None:
            return None
        bucket, _, owner = id_.partition(",")
        region = known.get("region") or self.clients.region
        where = {"bucket": bucket, "expectedBucketOwner": owner or None, "region": region}
        own = {name: value for name, value in where.items() if name in self.properties}
        return id_, self.outputs(id_, {**own, **actual})

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """The setting is written anew."""
        return self._set(id_, {**news, "region": news.get("region") or old.get("region")})

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """One call; a bucket that is gone has no setting any more."""
        s3 = self.clients.s3(known.get("region"))
        try:
            undisturbed(lambda: self._erase(s3, place(id_), known))
        except ClientError as error:
            if code_of(error) not in self.absent | {"NoSuchBucket"}:
                raise

    def _set(self, id_: str, inputs: Properties) -> Properties:
        s3 = self.clients.s3(inputs.get("region"))
        undisturbed(lambda: self._write(s3, place(id_), inputs))
        region = inputs.get("region") or self.clients.region
        return self.outputs(id_, {**inputs, "region": region})

    def to_aws(self, value: Any) -> Any:
        """Pulumi's maps under AWS's names, without nulls."""
        if isinstance(value, dict):
            return {
                self.irregular.get(name, name[:1].upper() + name[1:]): self.to_aws(item)
                for name, item in value.items()
                if item is not None and name != BRIDGE_DEFAULTS
            }
        return [self.to_aws(item) for item in value] if isinstance(value, list) else value

    def from_aws(self, value: Any) -> Any:
        """AWS's maps under Pulumi's names."""
        if isinstance(value, dict):
            regular = {other: name for name, other in self.irregular.items()}
            return {
                regular.get(name, name[:1].lower() + name[1:]): self.from_aws(item)
                for name, item in value.items()
            }
        return [self.from_aws(item) for item in value] if isinstance(value, list) else value


def place(id_: str) -> dict[str, str]:
    """The arguments that say which bucket, and whose: `bucket` or `bucket,owner`."""
    bucket, _, owner = id_.partition(",")
    return {"Bucket": bucket, **({"ExpectedBucketOwner": owner} if owner else {})}


def undisturbed(call: Callable[[], None]) -> None:
    """Call, and again while S3 is busy with another setting of the same bucket."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except ClientError as error:
            if code_of(error) != COLLISION or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.2, 1))  # noqa: S311  # jitter, no secret
