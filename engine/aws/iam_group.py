"""`aws.iam.Group`."""

from typing import ClassVar

from typing_extensions import override

from engine.aws.limits import iam_name, iam_path
from engine.aws.resource import Property, Resource, Schema
from engine.provider import Properties, ProviderError


class Group(Resource):
    """An IAM group; its id is its name."""

    type_name = "aws:iam/group:Group"
    properties: ClassVar[Schema] = {
        "name": Property(check=iam_name(128)),
        "path": Property(default="/", check=iam_path),
    }
    computed = ("arn", "uniqueId")
    identity = ("name",)
    named = "name"

    @override
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """One call; its answer holds all outputs."""
        name = inputs["name"]
        made = self.clients.iam.create_group(GroupName=name, Path=inputs["path"])["Group"]
        return name, self.outputs(name, inputs, arn=made["Arn"], uniqueId=made["GroupId"])

    @override
    def find(self, id_: str, known: Properties) -> tuple[str, Properties] | None:
        """The group as GetGroup tells it."""
        try:
            group = self.clients.iam.get_group(GroupName=id_, MaxItems=1)["Group"]
        except self.clients.iam.exceptions.NoSuchEntityException:
            return None
        name = group["GroupName"]
        actual = {"name": name, "path": group["Path"]}
        return name, self.outputs(name, actual, arn=group["Arn"], uniqueId=group["GroupId"])

    @override
    def update(self, id_: str, old: Properties, news: Properties) -> Properties:
        """Name and path change in place."""
        name, path = news["name"], news["path"]
        self.clients.iam.update_group(GroupName=id_, NewGroupName=name, NewPath=path)
        arn = f"{old['arn'].partition(':group/')[0]}:group{path}{name}"
        return self.outputs(name, news, arn=arn, uniqueId=old["uniqueId"])

    @override
    def delete(self, id_: str, known: Properties) -> None:
        """Deleted only when empty; the local stand-in, unlike AWS, would not mind members."""
        iam = self.clients.iam
        try:
            if iam.get_group(GroupName=id_, MaxItems=1)["Users"]:
                raise ProviderError(
                    "DeleteConflict",
                    f"Group {id_}: it still has members; close their areas or take them out first",
                )
            iam.delete_group(GroupName=id_)
        except iam.exceptions.NoSuchEntityException:
            return
