"""The two services that a program talks to: ``ResourceMonitor`` and ``Engine``.

Method names and messages are those of Pulumi's protocol (proto/pulumi/resource.proto and
engine.proto). The objects serve a program in the same process directly, and others through
``engine.transport``.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, resource_pb2

from engine.backend import ORGANIZATION
from engine.deployment import Deployment, DeploymentEndedError
from engine.errors import EngineError, UnsupportedError
from engine.goal import Goal, goal_from_request
from engine.properties import from_struct, to_struct
from engine.provider import ProviderError

_SEVERITIES = {
    engine_pb2.DEBUG: "debug",
    engine_pb2.INFO: "info",
    engine_pb2.WARNING: "warning",
    engine_pb2.ERROR: "error",
}
# Options that the engine refuses by name are listed too: the SDK would otherwise blame the
# version of the program.
_FEATURES = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
)
_FEATURE_NAMES = {
    "secrets",
    "resourceReferences",
    "aliasSpecs",
    "deletedWith",
    "replaceWith",
    "transforms",
    "invokeTransforms",
    "resourceHooks",
    "errorHooks",
    "parameterization",
}


class MonitorError(grpc.RpcError):
    """An error that the SDK understands: it has a status code and details."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._code

    def details(self) -> str:
        """What happened."""
        return self._details


def _ended() -> MonitorError:
    return MonitorError(grpc.StatusCode.UNAVAILABLE, "the deployment has ended")


class Monitor:
    """``ResourceMonitor``: registers, reads and calls on behalf of a program."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def stop(self) -> None:
        """Take no further registrations."""
        self._deployment.cancel()

    def GetDeploymentInfo(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Tell the program about the run."""
        context = self._deployment.context
        return resource_pb2.DeploymentInfo(
            project=context.stack.project,
            stack=context.stack.name,
            organization=ORGANIZATION,
            config=context.config,
            configSecretKeys=sorted(context.secret_keys),
            dryRun=context.dry_run,
            parallel=context.parallel,
            supportedFeatures=_FEATURES,
        )

    def SupportsFeature(self, request: Any) -> Any:  # noqa: N802
        """Say whether a feature of the protocol is known."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURE_NAMES)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Bring a resource into the wanted state."""
        try:
            state = self._deployment.register(goal_from_request(request))
        except DeploymentEndedError:
            raise _ended() from None
        except EngineError as error:
            raise MonitorError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        absent = state.custom and not state.id and not self._deployment.context.dry_run
        return resource_pb2.RegisterResourceResponse(
            urn=state.urn,
            id=state.id,
            object=to_struct(state.outputs),
            unknown=absent,
        )

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        """Record the outputs of a component."""
        try:
            self._deployment.register_outputs(request.urn, from_struct(request.outputs))
        except DeploymentEndedError:
            raise _ended() from None
        except EngineError as error:
            raise MonitorError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        return empty_pb2.Empty()

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        """Look up a resource that something else manages."""
        goal = Goal(
            type=request.type,
            name=request.name,
            custom=True,
            inputs=from_struct(request.properties),
            parent=request.parent,
            provider=request.provider,
            version=request.version.removeprefix("v"),
            dependencies=tuple(sorted(set(request.dependencies))),
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
        )
        try:
            state = self._deployment.read(goal, request.id)
        except DeploymentEndedError:
            raise _ended() from None
        return resource_pb2.ReadResourceResponse(urn=state.urn, properties=to_struct(state.outputs))

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Call a function of a provider."""
        try:
            result = self._deployment.invoke(
                request.tok,
                from_struct(request.args),
                request.provider,
                request.version.removeprefix("v"),
            )
        except (EngineError, ProviderError) as error:
            message = self._deployment.reporter.redacted(
                f"invocation of {request.tok} returned an error: {error}"
            )
            raise MonitorError(grpc.StatusCode.UNKNOWN, message) from error
        if result is None:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        answer: dict[str, Any] = {"return": to_struct(result)}
        return resource_pb2.ResourceInvokeResponse(**answer)

    def SignalAndWaitForShutdown(self, request: Any) -> Any:  # noqa: N802, ARG002
        """The program is done. Nothing calls back into it, so it need not wait."""
        return empty_pb2.Empty()

    def Call(self, request: Any) -> Any:  # noqa: N802
        """Refused."""
        raise _unsupported(f"the method call {request.tok}")

    def ExistsResource(self, request: Any) -> Any:  # noqa: N802
        """Refused."""
        raise _unsupported(f"looking whether a {request.type} exists")

    def RegisterStackTransform(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Refused."""
        raise _unsupported("a stack transform")

    def RegisterStackInvokeTransform(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Refused."""
        raise _unsupported("an invoke transform")

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802
        """Refused."""
        raise _unsupported(f"the resource hook {request.name}")

    def RegisterErrorHook(self, request: Any) -> Any:  # noqa: N802
        """Refused."""
        raise _unsupported(f"the error hook {request.name}")

    def RegisterPackage(self, request: Any) -> Any:  # noqa: N802
        """Refused."""
        raise _unsupported(f"the parameterized package {request.name}")


def _unsupported(what: str) -> MonitorError:
    return MonitorError(grpc.StatusCode.UNIMPLEMENTED, str(UnsupportedError(what)))


class EngineService:
    """``Engine``: takes the log of a program."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._root = ""

    def Log(self, request: Any) -> Any:  # noqa: N802
        """Report a message. After a failure the program only complains about its end."""
        severity = _SEVERITIES[request.severity]
        reporter = self._deployment.reporter
        is_noise = severity == "debug" and not reporter.debugging
        is_complaint = severity == "error" and self._deployment.failed
        if not is_noise and not is_complaint:
            reporter.log(severity, request.message, request.urn, ephemeral=request.ephemeral)
        return empty_pb2.Empty()

    def GetRootResource(self, request: Any) -> Any:  # noqa: N802, ARG002
        """The URN of the stack."""
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    def SetRootResource(self, request: Any) -> Any:  # noqa: N802
        """Remember the URN of the stack."""
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def StartDebugging(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Refused."""
        raise _unsupported("a debugger")

    def RequirePulumiVersion(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Accepted: the engine's version is that of the SDK."""
        return engine_pb2.RequirePulumiVersionResponse()
