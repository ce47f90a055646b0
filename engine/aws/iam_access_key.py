"""`aws.iam.AccessKey`."""

import base64
import hmac
import random
import time
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from typing_extensions import override

from engine.aws.clients import ATTEMPTS
from engine.aws.failures import THROTTLED, code_of
from engine.aws.limits import choice, iam_name
from engine.aws.resource import IncompleteError, Property, Resource, Schema
from engine.provider import Properties

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import AccessKeyTypeDef


class AccessKey(Resource):
    """An access key of a user; its id is the key's. AWS tells the secret at creation only."""

    type_name = "aws:iam/accessKey:AccessKey"
    properties: ClassVar[Schema] = {
        "user": Property(required=True, replaces=True, check=iam_name(64)),
        "status": Property(default="Active", check=choice("Active", "Inactive")),
    }
    computed = (
        "createDate",
        "encryptedSecret",
        "encryptedSesSmtpPasswordV4",
        "keyFingerprint",
        "secret",
        "sesSmtpPasswordV4",
    )
    secret = frozenset({"secret", "sesSmtpPasswordV4"})

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call; a second one if the key is to be inactive."""
        made = self._make(inputs["user"])
        id_, secret = made["AccessKeyId"], made["SecretAccessKey"]
        self.clients.settling.made(id_)
        outputs = self.outputs(
            id_,
            inputs,
            createDate=_instant(made["CreateDate"]),
            encryptedSecret=None,
            encryptedSesSmtpPasswordV4=None,
            keyFingerprint=None,
            secret=secret,
            sesSmtpPasswordV4=smtp_password(secret, self.clients.region),
        )
        if inputs["status"] != "Active":
            try:
                self._switch(inputs["user"], id_, inputs["status"])
            except ClientError as error:
                raise IncompleteError(id_, {**outputs, "status": "Active"}) from error
        return id_, outputs

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """Status and date as AWS holds them, the secret as recorded (none on import)."""
        iam = self.clients.iam
        try:
            user = known.get("user") or iam.get_access_key_last_used(AccessKeyId=id_)["UserName"]
            pages = list(iam.get_paginator("list_access_keys").paginate(UserName=user))
        except iam.exceptions.NoSuchEntityException:
            return None
        keys = [key for page in pages for key in page["AccessKeyMetadata"]]
        actual = next((key for key in keys if key["AccessKeyId"] == id_), None)
        if actual is None:
            return None
        # What the state does not hold, as a secret that was forgotten, is no difference either.
        kept = [name for name in self.computed if not known or name in known]
        recorded = {name: known.get(name) for name in kept}
        recorded["createDate"] = _instant(actual["CreateDate"])
        return id_, self.outputs(id_, {"user": user, "status": actual["Status"]}, **recorded)

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """The key is switched on or off."""
        self._switch(news["user"], id_, news["status"])
        return {**old, "id": id_, "status": news["status"]}

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """One call; for a key so new that IAM may not know it, until it does."""
        settling = self.clients.settling
        for last in settling.looks():
            try:
                self.clients.iam.delete_access_key(UserName=known["user"], AccessKeyId=id_)
            except self.clients.iam.exceptions.NoSuchEntityException:
                if not last and settling.is_new(id_):
                    continue
            settling.forget(id_)
            return

    def _make(self, user: str) -> "AccessKeyTypeDef":
        """Make a key, tried again only where AWS has surely made none: a retry mints a second."""
        iam = self.clients.iam_once
        for attempt in range(1, ATTEMPTS + 1):
            try:
                made = self.clients.settling.known(lambda: iam.create_access_key(UserName=user))
                return made["AccessKey"]
            except ClientError as error:
                if code_of(error) not in THROTTLED or attempt == ATTEMPTS:
                    raise
            except (EndpointConnectionError, ConnectTimeoutError):
                if attempt == ATTEMPTS:
                    raise
            time.sleep(random.uniform(0, 2**attempt / 8))  # noqa: S311  # jitter, no secret
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _switch(self, user: str, id_: str, status: str) -> None:
        state: Literal["Active", "Inactive"] = "Active" if status == "Active" else "Inactive"
        iam = self.clients.iam
        self.clients.settling.known(
            lambda: iam.update_access_key(UserName=user, AccessKeyId=id_, Status=state)
        )


def _instant(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def smtp_password(secret: str, region: str) -> str:
    """The key's password for Amazon SES over SMTP (Amazon SES developer guide, smtp-credentials).

    Args:
        secret: the secret access key.
        region: the region whose SES it opens.
    """
    signature = f"AWS4{secret}".encode()
    for part in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.digest(signature, part.encode(), "sha256")
    return base64.b64encode(b"\x04" + signature).decode("ascii")
