"""The provider as a whole: where it may work, what it takes its credentials from, what it says."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from types_boto3_iam import IAMClient

from engine.aws import AwsProvider, aws_provider
from engine.aws.failures import provider_error
from engine.localaws import LocalAws
from engine.provider import UNKNOWN, ProviderError
from tests.engine.aws.driver import Driver, policy
from tests.localaws import client_of

USER = "aws:iam/user:User"
CALLER = "aws:index/getCallerIdentity:getCallerIdentity"


@pytest.mark.parametrize(
    "endpoint",
    ["", "https://iam.amazonaws.com", "https://127.0.0.1.example.com", "https://10.0.0.1:4566"],
)
def test_real_aws_is_refused(local_aws: LocalAws, endpoint: str) -> None:
    environment = {**local_aws.environment(), "AWS_ENDPOINT_URL": endpoint}
    with pytest.raises(ProviderError, match="HANDOVER_ALLOW_EMBEDDED_ON_AWS=true") as caught:
        aws_provider(environment, {})
    assert caught.value.code == "EndpointRefused"


def test_one_service_elsewhere_is_refused(local_aws: LocalAws) -> None:
    environment = {**local_aws.environment(), "AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
    with pytest.raises(ProviderError, match=r"s3 would be asked at https://s3\.example\.com"):
        aws_provider(environment, {})


def test_real_aws_is_taken_when_it_is_meant(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://192.0.2.1")
    environment = local_aws.environment()
    del environment["AWS_ENDPOINT_URL"]
    provider = aws_provider({**environment, "HANDOVER_ALLOW_EMBEDDED_ON_AWS": "true"}, {})
    assert provider.clients.iam.meta.endpoint_url == "https://iam.amazonaws.com"


def test_a_region_is_needed(local_aws: LocalAws) -> None:
    environment = {
        name: value for name, value in local_aws.environment().items() if "REGION" not in name
    }
    with pytest.raises(ProviderError, match="set AWS_REGION"):
        aws_provider(environment, {})
    assert aws_provider(environment, {"region": "eu-south-2"}).clients.region == "eu-south-2"


def test_nothing_comes_from_the_process_environment(
    local_aws: LocalAws, iam: IAMClient, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://192.0.2.1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "wrong")
    iam.create_user(UserName=unique)
    iam.put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=policy("*"))
    key = iam.create_access_key(UserName=unique)["AccessKey"]
    provider = aws_provider(
        {
            **local_aws.environment(),
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        },
        {},
    )
    assert provider.invoke(CALLER, {})["arn"].endswith(f":user/{unique}")


def test_missing_credentials_are_named(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    environment = {
        name: value for name, value in local_aws.environment().items() if "KEY" not in name
    }
    with pytest.raises(ProviderError, match="set AWS_ACCESS_KEY_ID") as caught:
        aws_provider(environment, {}).invoke(CALLER, {})
    assert caught.value.code == "CredentialsMissing"


def test_wrong_credentials_are_told_in_plain_words(
    local_aws: LocalAws, iam: IAMClient, unique: str
) -> None:
    iam.create_user(UserName=unique)
    environment = {
        **local_aws.environment(),
        "AWS_ACCESS_KEY_ID": iam.create_access_key(UserName=unique)["AccessKey"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": "a-wrong-secret",
    }
    with pytest.raises(ProviderError, match="does not accept the credentials") as caught:
        aws_provider(environment, {}).invoke(CALLER, {})
    assert "a-wrong-secret" not in str(caught.value)


def test_a_denied_call_names_itself(local_aws: LocalAws, iam: IAMClient, unique: str) -> None:
    iam.create_user(UserName=unique)
    key = iam.create_access_key(UserName=unique)["AccessKey"]
    provider = aws_provider(
        {
            **local_aws.environment(),
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        },
        {},
    )
    with pytest.raises(ProviderError, match="AWS refused CreateUser") as caught:
        Driver(provider).make(USER, name=f"{unique}-2")
    assert caught.value.code == "AccessDenied"
    assert "permitted" in caught.value.message


def test_an_aws_that_is_down_is_told_and_may_be_asked_again(local_aws: LocalAws) -> None:
    environment = {**local_aws.environment(), "AWS_ENDPOINT_URL": "https://127.0.0.1:1"}
    provider = aws_provider(environment, {})
    with pytest.raises(ProviderError, match="was not reached") as caught:
        provider.create(
            "aws:iam/accessKey:AccessKey",
            {"user": "u", "status": "Active"},
            urn="urn:pulumi:s::p::t::n",
            timeout=None,
        )
    assert caught.value.retryable


def test_what_was_made_is_told_though_aws_fell_silent() -> None:
    error = EndpointConnectionError(endpoint_url="https://127.0.0.1:1")
    told = provider_error(error, "AccessKey it", ("AKIA", {"status": "Active"}))
    assert told.partial == ("AKIA", {"status": "Active"})


def test_clients_are_shared_and_settings_show_no_secret(local_aws: LocalAws) -> None:
    first, second = (aws_provider(local_aws.environment(), {}) for _ in range(2))
    assert first.clients is second.clients
    assert first.clients.iam is second.clients.iam
    shown = repr(replace(first.clients.settings, secret_key="very-secret", token="also-secret"))
    assert "secret" not in shown.replace("secret_key", "")


def test_inputs_types_and_functions_that_are_not_known_are_named(
    local_aws: LocalAws, provider: AwsProvider
) -> None:
    with pytest.raises(ProviderError, match="does not know assumeRoles"):
        aws_provider(local_aws.environment(), {"assumeRoles": "[]"})
    with pytest.raises(ProviderError, match=r"type aws:ec2/vpc:Vpc: use the official"):
        provider.secret_outputs("aws:ec2/vpc:Vpc")
    with pytest.raises(ProviderError, match="no function aws:index/getArn:getArn"):
        provider.invoke("aws:index/getArn:getArn", {})


def test_caller_and_region(provider: AwsProvider) -> None:
    caller = provider.invoke(CALLER, {})
    assert caller["accountId"] == caller["id"]
    assert caller["arn"].startswith("arn:aws:")
    region = provider.invoke("aws:index/getRegion:getRegion", {})
    assert region["region"] == region["name"] == "eu-west-1"


def test_preview_knows_what_is_given_and_not_what_aws_computes(provider: AwsProvider) -> None:
    inputs, failures = provider.check(
        "aws:iam/accessKey:AccessKey", {"user": UNKNOWN}, {}, urn="urn:pulumi:s::p::t::n"
    )
    assert not failures
    outputs = provider.preview_outputs("aws:iam/accessKey:AccessKey", inputs)
    assert outputs["status"] == "Active"
    assert outputs["secret"] is outputs["user"] is outputs["id"] is UNKNOWN


def test_unknown_values_count_as_changes(provider: AwsProvider) -> None:
    type_ = "aws:iam/userPolicy:UserPolicy"
    old = {"user": "u", "name": "n", "policy": policy("s3:*")}
    diff = provider.diff(type_, "u:n", old, old, {**old, "user": UNKNOWN, "policy": UNKNOWN}, [])
    assert diff.diffs == ("user", "policy")
    assert diff.replaces == ("user",)
    type_ = "aws:iam/userGroupMembership:UserGroupMembership"
    joined = {"user": "u", "groups": ["a"]}
    news = {"user": "u", "groups": ["a", UNKNOWN]}
    assert provider.diff(type_, "x", joined, joined, news, []).changes


def test_ignored_and_official_marks_count_for_nothing(provider: AwsProvider) -> None:
    old = {"__defaults": ["path"], "name": "u", "path": "/", "forceDestroy": False, "tags": None}
    news = {"name": "u", "path": "/", "forceDestroy": False, "tags": {"a": "1"}}
    assert not provider.diff(USER, "u", old, old, news, ["tags"]).changes
    assert provider.diff(USER, "u", old, old, news, []).diffs == ("tags",)


def test_sixteen_at_once(driver: Driver, unique: str) -> None:
    def client(number: int) -> str:
        name = f"{unique}-{number}"
        user = driver.make(USER, name=name, forceDestroy=True)
        key = driver.make("aws:iam/accessKey:AccessKey", user=name)
        user.delete()
        return key.id

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(client, range(32)))) == 32


def test_kept_connections_survive_a_restart_of_aws(tmp_path: Path) -> None:
    """Also where a call must not be repeated: a second key would be minted."""
    with LocalAws.start(tmp_path) as local:
        driver = Driver(aws_provider(local.environment(), {}))
        driver.make(USER, name="u")
        driver.make("aws:iam/accessKey:AccessKey", user="u")
    with LocalAws.start(tmp_path) as local:
        driver.make("aws:iam/accessKey:AccessKey", user="u")
        keys = client_of(local, "iam").list_access_keys(UserName="u")["AccessKeyMetadata"]
        assert len(keys) == 2
