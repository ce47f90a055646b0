"""``handover-resource-aws`` driven over real gRPC, as the official engine would drive it."""

from __future__ import annotations

import collections.abc
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points, version
from typing import Any, get_args, get_origin

import grpc
import pytest
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2
from types_boto3_iam import IAMClient

from engine.aws.registry import TYPES
from engine.aws.resource import Resource
from engine.localaws import LocalAws
from engine.plugin.messages import Status, half_made, status_of
from engine.plugin.schema import resource_schema
from engine.properties import Secret, from_struct, to_struct
from engine.provider import UNKNOWN
from tests.engine.aws.test_parity import sdk
from tests.engine.plugin.conftest import ROOT, Engine, environment, start, stop
from tests.waiting import until

messages: Any = provider_pb2
details: Any = status_pb2
EMPTY = empty_pb2.Empty()


def user(name: str) -> str:
    return f"urn:pulumi:s::p::aws:iam/user:User::{name}"


def key(name: str) -> str:
    return f"urn:pulumi:s::p::aws:iam/accessKey:AccessKey::{name}"


def test_introduces_itself(configured: Engine) -> None:
    answer = configured.stub.Handshake(messages.ProviderHandshakeRequest(engine_address="x"))
    assert answer.accept_secrets
    assert answer.accept_resources
    assert configured.stub.GetPluginInfo(EMPTY).version == version("pulumi-aws")


def test_is_installed_as_a_program() -> None:
    found = [it.value for it in entry_points(group="console_scripts", name="handover-resource-aws")]
    assert set(found) == {"engine.plugin.server:main"}


def test_the_schema_holds_every_type(configured: Engine) -> None:
    schema = json.loads(configured.stub.GetSchema(messages.GetSchemaRequest()).schema)
    assert schema["name"] == "aws"
    assert set(schema["resources"]) == {kind.type_name for kind in TYPES}
    access_key = schema["resources"]["aws:iam/accessKey:AccessKey"]
    assert access_key["requiredInputs"] == ["user"]
    assert access_key["properties"]["secret"]["secret"] is True
    assert access_key["inputProperties"]["status"]["default"] == "Active"
    with pytest.raises(grpc.RpcError, match="unsupported schema version 7"):
        configured.stub.GetSchema(messages.GetSchemaRequest(version=7))


KINDS = {bool: "boolean", int: "integer", str: "string"}


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: str(kind.type_name))
def test_kinds_in_the_schema_are_those_of_the_sdk(kind: type[Resource]) -> None:
    arguments, state = sdk(kind)
    schema = resource_schema(kind)
    for part, class_ in (("inputProperties", arguments), ("properties", state)):
        hints = inspect.get_annotations(class_.__init__)
        for name, property_ in schema[part].items():
            snake = re.sub("([A-Z])", r"_\1", name).lower()
            hint = hints[snake]
            assert property_["type"] == expected_kind(hint), (name, hint)


def expected_kind(hint: Any) -> str:
    """The kind behind ``Union[T, None, Awaitable[Optional[T]], Output[T]]``."""
    first = get_args(hint)[0]
    if get_origin(first) is collections.abc.Sequence:
        return "array"
    return KINDS.get(first, "object")


def test_the_life_of_a_key(configured: Engine, iam: IAMClient, unique: str) -> None:
    """Point 5: check, create, read, diff, update and delete, with the secret kept secret."""
    inputs, failures = configured.check(user(unique), name=unique, tags={"a": Secret("b")})
    assert not failures
    assert inputs["path"] == "/"
    assert inputs["tags"] == {"a": Secret("b")}
    user_id, user_outputs = configured.create(user(unique), inputs)
    assert user_outputs["tags"] == {"a": Secret("b")}
    assert iam.get_user(UserName=unique)["User"]["Arn"] == user_outputs["arn"]

    key_inputs, _ = configured.check(key("k"), user=unique)
    key_id, made = configured.create(key("k"), key_inputs)
    assert isinstance(made["secret"], Secret)
    assert isinstance(made["sesSmtpPasswordV4"], Secret)

    news = {**key_inputs, "status": "Inactive"}
    diff = configured.diff(key("k"), key_id, key_inputs, made, news)
    assert diff.changes == messages.DiffResponse.DIFF_SOME
    assert list(diff.diffs) == ["status"]
    assert not diff.replaces
    assert diff.detailedDiff["status"].kind == messages.PropertyDiff.UPDATE
    answer = configured.stub.Update(
        messages.UpdateRequest(
            urn=key("k"),
            id=key_id,
            old_inputs=to_struct(key_inputs),
            olds=to_struct(made),
            news=to_struct(news),
        )
    )
    assert from_struct(answer.properties)["secret"] == made["secret"]
    listed = iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]
    assert [it["Status"] for it in listed] == ["Inactive"]

    read = configured.stub.Read(
        messages.ReadRequest(
            urn=key("k"), id=key_id, inputs=to_struct(news), properties=answer.properties
        )
    )
    assert from_struct(read.inputs) == news
    assert from_struct(read.properties) == from_struct(answer.properties)

    configured.delete(key("k"), key_id, news, made)
    configured.delete(key("k"), key_id, news, made)
    gone = configured.stub.Read(
        messages.ReadRequest(urn=key("k"), id=key_id, inputs=to_struct(news))
    )
    assert gone.id == ""
    configured.delete(user(unique), user_id, inputs, user_outputs)


def test_replacing_is_told_by_key(configured: Engine) -> None:
    old = {"user": "a", "status": "Active"}
    diff = configured.diff(key("k"), "AKIA", old, old, {"user": "b", "status": "Active"})
    assert list(diff.replaces) == ["user"]
    assert diff.hasDetailedDiff
    assert diff.detailedDiff["user"].kind == messages.PropertyDiff.UPDATE_REPLACE
    added = configured.diff(
        user("u"), "u", {"name": "u"}, {"name": "u"}, {"name": "u", "path": "/x/"}
    )
    assert added.detailedDiff["path"].kind == messages.PropertyDiff.ADD
    none = configured.diff(key("k"), "AKIA", old, old, old)
    assert none.changes == messages.DiffResponse.DIFF_NONE


def test_failures_name_their_properties(configured: Engine) -> None:
    _, failures = configured.check(user("u"), name="a b", force=True)
    assert set(failures) == {"name", "force"}
    assert "letters A to Z" in failures["name"]
    _, failures = configured.check(key("k"))
    assert failures == {"user": "is required"}


def test_an_asset_fails_under_its_own_name(configured: Engine) -> None:
    asset = {
        "4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17",
        "text": "x",
    }
    urn = "urn:pulumi:s::p::aws:s3/bucketObjectv2:BucketObjectv2::o"
    _, failures = configured.check(urn, bucket="bucket", key="k", source=asset)
    assert failures["source"].startswith("an asset is not supported")


def test_previews_ask_aws_for_nothing(configured: Engine, iam: IAMClient, unique: str) -> None:
    id_, outputs = configured.create(key("k"), {"user": unique, "status": "Active"}, preview=True)
    assert id_ == ""
    assert outputs["secret"] == Secret(UNKNOWN)
    assert outputs["status"] == "Active"
    answer = configured.stub.Update(
        messages.UpdateRequest(
            urn=user(unique),
            id=unique,
            olds=to_struct({"name": unique, "arn": "arn:old"}),
            news=to_struct({"name": unique, "tags": {"a": UNKNOWN}}),
            preview=True,
        )
    )
    foretold = from_struct(answer.properties)
    assert foretold["arn"] == "arn:old"
    assert foretold["tags"] == {"a": UNKNOWN}
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=unique)


def test_refusals_of_aws_reach_the_engine(configured: Engine, unique: str) -> None:
    with pytest.raises(grpc.RpcError, match="AWS refused CreateAccessKey"):
        configured.create(key("k"), {"user": unique, "status": "Active"})


def test_functions(configured: Engine) -> None:
    def invoke(token: str) -> dict[str, Any]:
        answer = configured.stub.Invoke(messages.InvokeRequest(tok=token))
        return from_struct(getattr(answer, "return"))

    assert invoke("aws:index/getRegion:getRegion")["region"] == "eu-west-1"
    assert invoke("aws:index/getCallerIdentity:getCallerIdentity")["arn"].startswith("arn:aws:")
    with pytest.raises(grpc.RpcError, match="no function aws:index/getArn:getArn"):
        invoke("aws:index/getArn:getArn")


def test_settings_are_checked_and_compared(configured: Engine) -> None:
    answer = configured.stub.CheckConfig(
        messages.CheckRequest(urn="x", news=to_struct({"region": "eu-west-1", "endpoints": "[]"}))
    )
    assert [it.property for it in answer.failures] == ["endpoints"]
    request = messages.DiffRequest(
        old_inputs=to_struct({"region": "eu-west-1", "version": "7.1.0"}),
        news=to_struct({"region": "eu-west-3", "version": "7.2.0"}),
    )
    assert list(configured.stub.DiffConfig(request).replaces) == ["region"]


def test_what_is_not_served_is_named(configured: Engine) -> None:
    with pytest.raises(grpc.RpcError, match="Construct is not supported") as caught:
        configured.stub.Construct(messages.ConstructRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError, match="does not know the type aws:ec2/vpc:Vpc"):
        configured.check("urn:pulumi:s::p::aws:ec2/vpc:Vpc::v")


def test_mappings_are_empty(configured: Engine) -> None:
    assert configured.stub.GetMapping(messages.GetMappingRequest(key="terraform")).data == b""
    assert not configured.stub.GetMappings(messages.GetMappingsRequest(key="terraform")).providers


def test_before_and_after_its_time(local_aws: LocalAws) -> None:
    """It wants Configure first, refuses acts after Cancel, and ends when it is told to."""
    engine = start(environment(local_aws))
    try:
        with pytest.raises(grpc.RpcError, match="Configure was not called yet"):
            engine.check(user("u"))
        engine.configure()
        engine.stub.Cancel(EMPTY)
        with pytest.raises(grpc.RpcError, match="was cancelled"):
            engine.create(user("u"), {"name": "u", "path": "/", "forceDestroy": False})
        engine.create(user("u"), {"name": "u"}, preview=True)
    finally:
        assert stop(engine) == 0


def test_aws_itself_is_refused(local_aws: LocalAws) -> None:
    env = environment(local_aws)
    del env["AWS_ENDPOINT_URL"]
    engine = start(env)
    try:
        with pytest.raises(grpc.RpcError, match="HANDOVER_ALLOW_EMBEDDED_ON_AWS"):
            engine.configure()
    finally:
        stop(engine)


def test_an_engine_without_secrets_is_told_plain_values(local_aws: LocalAws) -> None:
    engine = start(environment(local_aws))
    try:
        engine.configure(secrets=False)
        _, outputs = engine.create(key("k"), {"user": "u", "status": "Active"}, preview=True)
        assert outputs["secret"] is UNKNOWN
    finally:
        stop(engine)


LAUNCHER = """
import subprocess, sys
command = [sys.executable, "-m", "engine.plugin.server", "x"]
plugin = subprocess.Popen(command, stdout=subprocess.PIPE)
plugin.stdout.readline()
print(plugin.pid, flush=True)
sys.stdin.read()
"""


def test_ends_when_its_engine_is_gone(local_aws: LocalAws) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(local_aws),
    )
    assert launcher.stdout is not None
    assert launcher.stdin is not None
    plugin = int(launcher.stdout.readline())
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    launcher.stdin.close()
    until(lambda: not is_alive(plugin))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_half_made_resource_carries_its_state() -> None:
    status = status_of(half_made("AKIA", {"secret": Secret("s")}, {"user": "u"}, "why"))
    assert isinstance(status, Status)
    rich = details.Status.FromString(dict(status.trailing_metadata)["grpc-status-details-bin"])
    packed = any_pb2.Any.FromString(rich.details[0].SerializeToString())
    detail = messages.ErrorResourceInitFailed()
    assert packed.Unpack(detail)
    assert (detail.id, list(detail.reasons)) == ("AKIA", ["why"])
    assert from_struct(detail.properties) == {"secret": Secret("s")}
