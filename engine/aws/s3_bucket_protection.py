"""Versioning, default encryption, public access and ownership of a bucket."""

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from engine.aws.limits import flag, list_of_maps, mapping, text
from engine.aws.resource import Property, Schema, equal
from engine.aws.s3_bucket_setting import OWNED, WHERE, BucketSetting
from engine.provider import Properties

VERSIONING_STATES = ("Enabled", "Suspended", "Disabled")


def versioning_states(value: Any) -> str | None:
    """A map with a `status` that S3 knows."""
    status = value.get("status") if isinstance(value, dict) else None
    known = ", ".join(VERSIONING_STATES)
    return None if status in VERSIONING_STATES else f"must hold a status of {known}"


def same_versioning(one: Any, other: Any) -> bool:
    """Equal, where MFA delete that is off counts as not given."""

    def settled(value: Any) -> Any:
        return {k: v for k, v in (value or {}).items() if (k, v) != ("mfaDelete", "Disabled")}

    return equal(settled(one), settled(other))


class BucketVersioning(BucketSetting):
    """Versioning; taken away by suspending it, for S3 never forgets that it was on."""

    type_name = "aws:s3/bucketVersioning:BucketVersioning"
    properties: ClassVar[Schema] = {
        **OWNED,
        "mfa": Property(check=text),
        "versioningConfiguration": Property(
            required=True, same=same_versioning, check=versioning_states
        ),
    }
    irregular: ClassVar[Mapping[str, str]] = {"mfaDelete": "MFADelete"}

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        configuration = self.to_aws(inputs["versioningConfiguration"])
        if configuration["Status"] == "Disabled":
            return
        mfa = {"MFA": inputs["mfa"]} if inputs.get("mfa") else {}
        s3.put_bucket_versioning(**where, **mfa, VersioningConfiguration=configuration)

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        answer = s3.get_bucket_versioning(**where)
        configuration = {"status": answer.get("Status", "Disabled")}
        if "MFADelete" in answer:
            configuration["mfaDelete"] = answer["MFADelete"]
        return {"versioningConfiguration": configuration}

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        if known["versioningConfiguration"]["status"] == "Enabled":
            s3.put_bucket_versioning(**where, VersioningConfiguration={"Status": "Suspended"})


def same_encryption(one: Any, other: Any) -> bool:
    """Equal, where types that S3 blocks by itself count only if both sides name them."""
    rules = [one or [], other or []]
    if not all("blockedEncryptionTypes" in rule for side in rules for rule in side):
        rules = [
            [{k: v for k, v in rule.items() if k != "blockedEncryptionTypes"} for rule in side]
            for side in rules
        ]
    return equal(*rules)


class BucketServerSideEncryptionConfiguration(BucketSetting):
    """Default encryption (RX-03)."""

    type_name = (
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    properties: ClassVar[Schema] = {
        **OWNED,
        "rules": Property(required=True, same=same_encryption, check=list_of_maps),
    }
    absent = frozenset({"ServerSideEncryptionConfigurationNotFoundError"})
    irregular: ClassVar[Mapping[str, str]] = {
        "sseAlgorithm": "SSEAlgorithm",
        "kmsMasterKeyId": "KMSMasterKeyID",
    }

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        rules = self.to_aws(inputs["rules"])
        for rule in rules:
            if blocked := rule.get("BlockedEncryptionTypes"):
                rule["BlockedEncryptionTypes"] = {"EncryptionType": blocked}
        s3.put_bucket_encryption(**where, ServerSideEncryptionConfiguration={"Rules": rules})

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        configuration = s3.get_bucket_encryption(**where)["ServerSideEncryptionConfiguration"]
        rules = self.from_aws(configuration["Rules"])
        for rule in rules:
            if blocked := rule.get("blockedEncryptionTypes"):
                rule["blockedEncryptionTypes"] = blocked["encryptionType"]
        return {"rules": rules}

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        s3.delete_bucket_encryption(**where)


class BucketPublicAccessBlock(BucketSetting):
    """What no policy or ACL of the bucket may open to the public."""

    type_name = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    properties: ClassVar[Schema] = {
        **WHERE,
        **dict.fromkeys(switches, Property(default=False, check=flag)),
        "skipDestroy": Property(check=flag),
    }
    absent = frozenset({"NoSuchPublicAccessBlockConfiguration"})

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        configuration = self.to_aws({name: inputs[name] for name in self.switches})
        s3.put_public_access_block(**where, PublicAccessBlockConfiguration=configuration)

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        answer = s3.get_public_access_block(**where)["PublicAccessBlockConfiguration"]
        found: Properties = self.from_aws(answer)
        return found

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        if not known.get("skipDestroy"):
            s3.delete_public_access_block(**where)


class BucketOwnershipControls(BucketSetting):
    """Who owns what others upload."""

    type_name = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    properties: ClassVar[Schema] = {**WHERE, "rule": Property(required=True, check=mapping)}
    absent = frozenset({"OwnershipControlsNotFoundError"})

    @override
    def _write(self, s3: Any, where: dict[str, str], inputs: Properties) -> None:
        controls = {"Rules": [self.to_aws(inputs["rule"])]}
        s3.put_bucket_ownership_controls(**where, OwnershipControls=controls)

    @override
    def _read(self, s3: Any, where: dict[str, str]) -> Properties | None:
        rules = s3.get_bucket_ownership_controls(**where)["OwnershipControls"]["Rules"]
        return {"rule": self.from_aws(rules[0])}

    @override
    def _erase(self, s3: Any, where: dict[str, str], known: Properties) -> None:
        s3.delete_bucket_ownership_controls(**where)
