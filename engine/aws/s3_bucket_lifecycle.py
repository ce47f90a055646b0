"""`aws.s3.BucketLifecycleConfiguration`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from typing_extensions import override

from engine.aws import tagging
from engine.aws.limits import choice, list_of_maps
from engine.aws.resource import Property, Schema
from engine.aws.s3_bucket_setting import OWNED, BucketSetting
from engine.provider import Properties

MINIMUM_SIZE = "TransitionDefaultMinimumObjectSize"
DEFAULT_SIZE = "all_storage_classes_128K"


class BucketLifecycleConfiguration(BucketSetting):
    """What S3 does with objects, versions and unfinished uploads after a time."""

    type_name = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    properties: ClassVar[Schema] = {
        **OWNED,
        "rules": Property(required=True, check=list_of_maps),
        "transitionDefaultMinimumObjectSize": Property(
            default=DEFAULT_SIZE, check=choice(DEFAULT_SIZE, "varies_by_storage_class")
        ),
    }
    absent = frozenset({"NoSuchLifecycleConfiguration"})
    irregular: ClassVar[Mapping[str, str]] = {"id": "ID"}

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        rules = [rule_to_aws(self.to_aws(rule)) for rule in inputs["rules"]]
        size = {MINIMUM_SIZE: inputs["transitionDefaultMinimumObjectSize"]}
        s3.put_bucket_lifecycle_configuration(
            **where, LifecycleConfiguration={"Rules": rules}, **size
        )

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        answer = s3.get_bucket_lifecycle_configuration(**where)
        return {
            "rules": [self.from_aws(rule_from_aws(rule)) for rule in answer["Rules"]],
            "transitionDefaultMinimumObjectSize": answer.get(MINIMUM_SIZE, DEFAULT_SIZE),
        }

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        s3.delete_bucket_lifecycle(**where)


def rule_to_aws(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule under AWS's names, brought to AWS's form: one filter, and tags as a list."""
    if not rule.get("Filter") and not rule.get("Prefix"):
        rule["Filter"] = {"Prefix": ""}
    every = (rule.get("Filter") or {}).get("And")
    if every and "Tags" in every:
        every["Tags"] = tagging.to_aws(every["Tags"])
    return rule


def rule_from_aws(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule of AWS with tags as a map and dates as text, still under AWS's names."""
    every = (rule.get("Filter") or {}).get("And")
    if every and "Tags" in every:
        every["Tags"] = tagging.from_aws(every["Tags"]) or {}
    for part in (rule.get("Expiration"), *rule.get("Transitions", [])):
        if part and isinstance(part.get("Date"), datetime):
            part["Date"] = part["Date"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return rule
