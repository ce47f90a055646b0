"""`aws.iam.Policy`: a customer managed policy, here the permissions boundary."""

import json
from typing import Any, ClassVar

from typing_extensions import override

from engine.aws import policies, tagging
from engine.aws.limits import iam_name, iam_path, tags, text
from engine.aws.resource import Property, Resource, Schema
from engine.provider import Properties

# IAM keeps at most five versions of a managed policy.
VERSIONS = 5


class Policy(Resource):
    """A managed policy; its id is its ARN. A new document becomes its default version."""

    type_name = "aws:iam/policy:Policy"
    properties: ClassVar[Schema] = {
        "name": Property(replaces=True, check=iam_name(128)),
        "namePrefix": Property(computed=True, replaces=True, check=text),
        "path": Property(default="/", replaces=True, check=iam_path),
        "description": Property(replaces=True, check=text),
        "policy": Property(
            required=True,
            same=policies.equivalent,
            check=policies.document(policies.MANAGED_LIMIT),
            normal=policies.as_text,
        ),
        "tags": Property(check=tags(50)),
    }
    computed = ("arn", "attachmentCount", "policyId", "tagsAll")
    identity = ("name", "path")
    named = "name"

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call."""
        optional: Any = {}
        if inputs.get("description"):
            optional["Description"] = inputs["description"]
        if inputs.get("tags"):
            optional["Tags"] = tagging.to_aws(inputs["tags"])
        made = self.clients.iam.create_policy(
            PolicyName=inputs["name"],
            Path=inputs["path"],
            PolicyDocument=inputs["policy"],
            **optional,
        )["Policy"]
        return made["Arn"], self._outputs(made["Arn"], inputs, made["PolicyId"], 0)

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The policy and its default version."""
        iam = self.clients.iam
        try:
            policy = iam.get_policy(PolicyArn=id_)["Policy"]
            version = iam.get_policy_version(PolicyArn=id_, VersionId=policy["DefaultVersionId"])
        except iam.exceptions.NoSuchEntityException:
            return None
        document: Any = version["PolicyVersion"]["Document"]
        actual = {
            "name": policy["PolicyName"],
            "namePrefix": known.get("namePrefix"),
            "path": policy["Path"],
            "description": policy.get("Description"),
            "policy": document if isinstance(document, str) else json.dumps(document),
            "tags": tagging.from_aws(policy.get("Tags", [])),
        }
        return id_, self._outputs(id_, actual, policy["PolicyId"], policy["AttachmentCount"])

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """Document and tags change in place."""
        iam = self.clients.iam
        if not policies.equivalent(old.get("policy"), news["policy"]):
            self._make_room(id_)
            iam.create_policy_version(
                PolicyArn=id_, PolicyDocument=news["policy"], SetAsDefault=True
            )
        removed, changed = tagging.change(old.get("tags"), news.get("tags"))
        if removed:
            iam.untag_policy(PolicyArn=id_, TagKeys=removed)
        if changed:
            iam.tag_policy(PolicyArn=id_, Tags=tagging.to_aws(changed))
        return self._outputs(id_, news, old["policyId"], old.get("attachmentCount"))

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """Its other versions first; AWS refuses while it is attached."""
        iam = self.clients.iam
        try:
            for version in self._spare_versions(id_):
                iam.delete_policy_version(PolicyArn=id_, VersionId=version)
            iam.delete_policy(PolicyArn=id_)
        except iam.exceptions.NoSuchEntityException:
            return

    def _outputs(
        self, arn: str, inputs: Properties, policy_id: str, attachments: int | None
    ) -> Properties:
        return self.outputs(
            arn,
            inputs,
            arn=arn,
            policyId=policy_id,
            attachmentCount=attachments,
            tagsAll=inputs.get("tags") or {},
        )

    def _spare_versions(self, arn: str) -> list[str]:
        """The versions that are not the default one, oldest first."""
        paginator = self.clients.iam.get_paginator("list_policy_versions")
        pages = paginator.paginate(PolicyArn=arn)
        versions = [version for page in pages for version in page["Versions"]]
        versions.sort(key=lambda version: version["CreateDate"])
        return [version["VersionId"] for version in versions if not version["IsDefaultVersion"]]

    def _make_room(self, arn: str) -> None:
        spare = self._spare_versions(arn)
        if len(spare) >= VERSIONS - 1:
            self.clients.iam.delete_policy_version(PolicyArn=arn, VersionId=spare[0])
