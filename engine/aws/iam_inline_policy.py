"""`aws.iam.UserPolicy` and `aws.iam.GroupPolicy`: a policy inside a user or a group."""

import json
from abc import abstractmethod
from typing import Any, ClassVar

from typing_extensions import override

from engine.aws import policies
from engine.aws.limits import iam_name, text
from engine.aws.resource import Property, Resource, Schema
from engine.provider import Properties


def policy_properties(owner: str, owner_limit: int, limit: int) -> dict[str, Property]:
    """The properties of an inline policy whose owner may hold `limit` characters of policies."""
    return {
        owner: Property(required=True, replaces=True, check=iam_name(owner_limit)),
        "name": Property(replaces=True, check=iam_name(128)),
        "namePrefix": Property(computed=True, replaces=True, check=text),
        "policy": Property(
            required=True,
            same=policies.equivalent,
            check=policies.document(limit),
            normal=policies.as_text,
        ),
    }


class InlinePolicy(Resource):
    """What both kinds share; the id is `owner:name`."""

    owner: ClassVar[str]
    identity = ("name",)
    named = "name"

    @abstractmethod
    def _put(self, owner: str, name: str, document: str) -> None:
        """Write the policy."""

    @abstractmethod
    def _get(self, owner: str, name: str) -> Any:
        """Read the policy: a map, as boto3 parses it. Raises NoSuchEntity."""

    @abstractmethod
    def _remove(self, owner: str, name: str) -> None:
        """Delete the policy. Raises NoSuchEntity."""

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call."""
        owner, name = inputs[self.owner], inputs["name"]
        self._put(owner, name, inputs["policy"])
        id_ = f"{owner}:{name}"
        return id_, self.outputs(id_, inputs)

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The document as AWS holds it."""
        owner, _, name = id_.partition(":")
        try:
            document = self._get(owner, name)
        except self.clients.iam.exceptions.NoSuchEntityException:
            return None
        actual = {
            self.owner: owner,
            "name": name,
            "namePrefix": known.get("namePrefix"),
            "policy": document if isinstance(document, str) else json.dumps(document),
        }
        return id_, self.outputs(id_, actual)

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """The document is written anew."""
        self._put(news[self.owner], news["name"], news["policy"])
        return self.outputs(id_, news)

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """One call."""
        owner, _, name = id_.partition(":")
        try:
            self._remove(owner, name)
        except self.clients.iam.exceptions.NoSuchEntityException:
            return


class UserPolicy(InlinePolicy):
    """A policy inside a user."""

    type_name = "aws:iam/userPolicy:UserPolicy"
    owner = "user"
    properties: ClassVar[Schema] = policy_properties("user", 64, policies.USER_LIMIT)

    @override
    def _put(self, owner: str, name: str, document: str) -> None:
        iam = self.clients.iam
        self.clients.settling.known(
            lambda: iam.put_user_policy(UserName=owner, PolicyName=name, PolicyDocument=document)
        )

    @override
    def _get(self, owner: str, name: str) -> Any:
        answer = self.clients.iam.get_user_policy(UserName=owner, PolicyName=name)
        return answer["PolicyDocument"]

    @override
    def _remove(self, owner: str, name: str) -> None:
        self.clients.iam.delete_user_policy(UserName=owner, PolicyName=name)


class GroupPolicy(InlinePolicy):
    """A policy inside a group."""

    type_name = "aws:iam/groupPolicy:GroupPolicy"
    owner = "group"
    properties: ClassVar[Schema] = policy_properties("group", 128, policies.GROUP_LIMIT)

    @override
    def _put(self, owner: str, name: str, document: str) -> None:
        self.clients.iam.put_group_policy(GroupName=owner, PolicyName=name, PolicyDocument=document)

    @override
    def _get(self, owner: str, name: str) -> Any:
        answer = self.clients.iam.get_group_policy(GroupName=owner, PolicyName=name)
        return answer["PolicyDocument"]

    @override
    def _remove(self, owner: str, name: str) -> None:
        self.clients.iam.delete_group_policy(GroupName=owner, PolicyName=name)
