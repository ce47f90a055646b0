"""Applying the foundation: preview, up, and adopting a bucket and a group that exist already."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from stacks.access import error_code, told
from stacks.automation import Stacks
from stacks.backend import StackOutputs
from stacks.clients import clients_for
from stacks.events import OnProgress, PlannedChange, ignore_progress
from stacks.failures import Failure, StackError
from stacks.foundation import FOUNDATION_STACK, FoundationInputs, FoundationProgram


@dataclass(frozen=True)
class Found:
    """What of the foundation exists in AWS and is not in the stack yet.

    ``imports`` maps logical names to ids; ``settings`` names settings of the existing bucket that
    the foundation would replace with its own.
    """

    imports: Mapping[str, str]
    settings: tuple[str, ...]


class Foundation:
    """The one stack that holds what areas share."""

    def __init__(self, stacks: Stacks, inputs: FoundationInputs) -> None:
        self._stacks = stacks
        self._inputs = inputs
        clients = clients_for(stacks.backend.environment)
        self._s3: Any = clients.s3()
        self._iam: Any = clients.iam

    def preview(self) -> list[PlannedChange]:
        """Return what `up` would do."""
        return self._stacks.preview(FoundationProgram(self._inputs))

    def up(self, on_progress: OnProgress = ignore_progress) -> StackOutputs:
        """Apply the foundation; a bucket or group that exists already is refused, see `adopt`.

        What an `up` that died had begun to make and AWS holds is ours, and is taken over.
        """
        begun = self._recover()
        imports = {name: id_ for name, id_ in self.discover().imports.items() if name in begun}
        return self._stacks.up(
            FoundationProgram(replace(self._inputs, imports=imports)), on_progress
        )

    def preview_adopt(self) -> tuple[Found, list[PlannedChange]]:
        """Return what `adopt` would import and replace, and the whole plan."""
        found = self.discover()
        adopted = replace(self._inputs, imports=found.imports)
        return found, self._stacks.preview(FoundationProgram(adopted))

    def adopt(
        self, *, replace_settings: bool = False, on_progress: OnProgress = ignore_progress
    ) -> StackOutputs:
        """Import the existing bucket and group, never replacing them, and make the rest.

        Raises `StackError` with the code ``SettingsInTheWay`` when the existing bucket has a
        policy, lifecycle or logging of its own, unless ``replace_settings``.
        """
        self._recover()
        found = self.discover()
        if found.settings and not replace_settings:
            sentence = (
                f"The existing bucket {self._inputs.bucket} has settings of its own that the "
                f"foundation would replace: {', '.join(found.settings)}. Look at them first; "
                "`--replace-settings` replaces them."
            )
            raise StackError(FOUNDATION_STACK, Failure("SettingsInTheWay", sentence))
        adopted = replace(self._inputs, imports=found.imports)
        return self._stacks.up(FoundationProgram(adopted), on_progress)

    def _recover(self) -> set[str]:
        """Clear pending operations of the stack; return the names of what was begun."""
        program = FoundationProgram(self._inputs)
        state = self._stacks.export(program)
        if state is None or not state.pending_operations():
            return set()
        self._stacks.import_(program, state.without_pending_operations())
        return {_name(pending["resource"]) for pending in state.pending_operations()}

    def discover(self) -> Found:
        """Look for what exists in AWS already and is not in the stack."""
        it = self._inputs
        state = self._stacks.export(FoundationProgram(it))
        known = {_name(resource) for resource in state.resources()} if state else set()
        probes: dict[str, tuple[str, Callable[[], Any]]] = {
            "clients": (it.bucket, lambda: self._s3.head_bucket(Bucket=it.bucket)),
            "logs": (it.log_bucket, lambda: self._s3.head_bucket(Bucket=it.log_bucket)),
            "group": (it.group, lambda: self._iam.get_group(GroupName=it.group, MaxItems=1)),
            "boundary": (
                it.boundary_arn,
                lambda: self._iam.get_policy(PolicyArn=it.boundary_arn),
            ),
        }
        with told(FOUNDATION_STACK):
            imports = {
                name: id_
                for name, (id_, probe) in probes.items()
                if name not in known and _exists(probe)
            }
            settings = self._settings() if "clients" in imports else ()
        return Found(imports, settings)

    def _settings(self) -> tuple[str, ...]:
        bucket = self._inputs.bucket
        found = []
        if _exists(lambda: self._s3.get_bucket_policy(Bucket=bucket)):
            found.append("bucket policy")
        if _exists(lambda: self._s3.get_bucket_lifecycle_configuration(Bucket=bucket)):
            found.append("lifecycle configuration")
        if "LoggingEnabled" in self._s3.get_bucket_logging(Bucket=bucket):
            found.append("access logging")
        return tuple(found)


def _name(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"]).rsplit("::", 1)[-1]


_ABSENT = (
    "404",
    "NoSuchBucket",
    "NoSuchEntity",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
)


def _exists(probe: Callable[[], Any]) -> bool:
    try:
        probe()
    except ClientError as error:
        if error_code(error) in _ABSENT:
            return False
        raise
    return True
