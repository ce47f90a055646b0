"""The provider of the package `aws`: finds the type, asks it, and translates AWS's refusals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from engine.aws.clients import Clients, Settings, clients_for
from engine.aws.failures import provider_error
from engine.aws.registry import TYPES
from engine.aws.resource import IncompleteError, Resource
from engine.provider import CheckFailure, Diff, Properties, Provider, ProviderError

Answer = TypeVar("Answer")

# Inputs of an explicit provider resource that are understood; those that only switch off checks
# of the official plugin are taken and mean nothing here.
PROVIDER_INPUTS = frozenset(
    {
        "region",
        "profile",
        "accessKey",
        "secretKey",
        "token",
        "version",
        "s3UsePathStyle",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
    }
)


def aws_provider(environment: Mapping[str, str], inputs: Mapping[str, Any]) -> "AwsProvider":
    """Make the provider for an environment (`AWS_*` variables) and a provider resource's inputs.

    Raises:
        ProviderError: no region; AWS itself without HANDOVER_ALLOW_EMBEDDED_ON_AWS=true; an
            input that is not supported.
    """
    unsupported = sorted(name for name in inputs if name not in PROVIDER_INPUTS)
    if unsupported:
        raise ProviderError(
            "ProviderInputUnsupported",
            f"the embedded engine's AWS provider does not know {', '.join(unsupported)}: "
            "leave it out, or use the official pulumi program",
        )
    return AwsProvider(clients_for(Settings.of(environment, inputs)))


class AwsProvider(Provider):
    """`engine.provider.Provider` for AWS; safe to use from several threads."""

    package = "aws"

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self._types = {kind.type_name: kind(clients) for kind in TYPES}

    @override
    def check(
        self, type_: str, news: Properties, olds: Properties, *, urn: str
    ) -> tuple[Properties, list[CheckFailure]]:
        """Inputs with defaults and generated names, and what AWS would not take."""
        return self._type(type_).check(news, olds, urn)

    @override
    def diff(
        self,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        """Compare the recorded state, as last read, with checked inputs."""
        state = {**old_inputs, **old_outputs, "id": id_}
        return self._type(type_).diff(state, news, ignore_changes)

    @override
    def create(
        self, type_: str, inputs: Properties, *, urn: str, timeout: float | None
    ) -> tuple[str, Properties]:
        """Make the resource. Each AWS call has its own time limit; `timeout` adds none."""
        kind = self._type(type_)
        return _ask(_subject(type_, urn.rpartition("::")[2]), lambda: kind.create(inputs))

    @override
    def read(
        self, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """The resource as AWS holds it, None when gone; empty inputs mean an import."""
        kind = self._type(type_)
        return _ask(_subject(type_, id_), lambda: kind.read(id_, inputs, outputs))

    @override
    def update(
        self,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        *,
        timeout: float | None,
    ) -> Properties:
        """Change the resource in place."""
        kind, old = self._type(type_), {**old_inputs, **old_outputs}
        return _ask(_subject(type_, id_), lambda: kind.update(id_, old, news))

    @override
    def delete(
        self,
        type_: str,
        id_: str,
        inputs: Properties,
        outputs: Properties,
        *,
        timeout: float | None,
    ) -> None:
        """Delete the resource; already gone is done."""
        kind, known = self._type(type_), {**inputs, **outputs}
        _ask(_subject(type_, id_), lambda: kind.delete(id_, known))

    @override
    def invoke(self, token: str, args: Properties) -> Properties:
        """`getCallerIdentity` and `getRegion`."""
        functions = {
            "aws:index/getCallerIdentity:getCallerIdentity": self._caller,
            "aws:index/getRegion:getRegion": self._region,
        }
        if token not in functions:
            raise ProviderError(
                "FunctionUnsupported",
                f"the embedded engine's AWS provider has no function {token}: "
                "use the official pulumi program",
            )
        return _ask(token, lambda: functions[token](args))

    @override
    def secret_outputs(self, type_: str) -> frozenset[str]:
        """The outputs of the type that are always secret."""
        return self._type(type_).secret

    @override
    def preview_outputs(self, type_: str, inputs: Properties) -> Properties:
        """The outputs as far as they are known before the resource is made."""
        return self._type(type_).preview(inputs)

    def _type(self, token: str) -> Resource:
        try:
            return self._types[token]
        except KeyError:
            raise ProviderError(
                "TypeUnsupported",
                f"the embedded engine's AWS provider does not know the type {token}: "
                "use the official pulumi program",
            ) from None

    def _caller(self, _: Properties) -> Properties:
        identity = self.clients.sts.get_caller_identity()
        account = identity["Account"]
        return {
            "accountId": account,
            "arn": identity["Arn"],
            "userId": identity["UserId"],
            "id": account,
        }

    def _region(self, args: Properties) -> Properties:
        region = args.get("region") or self.clients.region
        return {
            "id": region,
            "name": region,
            "region": region,
            "description": region,
            "endpoint": f"ec2.{region}.amazonaws.com",
        }


def _subject(type_: str, name: str) -> str:
    return f"{type_.rpartition(':')[2]} {name}"


def _ask(subject: str, call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except IncompleteError as incomplete:
        cause = incomplete.__cause__
        if isinstance(cause, ClientError | BotoCoreError):
            partial = (incomplete.id, incomplete.outputs)
            raise provider_error(cause, subject, partial) from cause
        raise
    except (ClientError, BotoCoreError) as error:
        raise provider_error(error, subject) from error
