"""``handover doctor`` on state in S3 and secrets under KMS: really tried, on the local AWS."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from types_boto3_s3 import S3Client

from engine.localaws import SERVICES, LocalAws
from service.cli.doctor_state import backend, secrets_provider
from service.cli.findings import Finding
from service.settings import Settings
from tests.localaws import client_of
from tests.service.test_settings import REQUIRED

Configure = Callable[..., Settings]


@pytest.fixture(scope="module")
def with_kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that has KMS too."""
    folder = tmp_path_factory.mktemp("kms")
    with LocalAws.start(folder, services=(*SERVICES, "kms")) as local:
        yield local


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """`configure(local, NAME=value, …)`: settings as of a process with that environment."""
    monkeypatch.chdir(tmp_path)

    def make(local: LocalAws, **extra: str) -> Settings:
        environment = {
            **REQUIRED,
            "HANDOVER_ENGINE": "official",
            "HANDOVER_DATA_DIRECTORY": str(tmp_path / "data"),
            **local.environment(),
            **extra,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Settings()

    return make


def only(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


def test_a_bucket_is_written_and_read(
    configure: Configure, local_aws: LocalAws, bucket: str, s3: S3Client
) -> None:
    settings = configure(local_aws, HANDOVER_BACKEND_URL=f"s3://{bucket}/state?region=eu-west-1")
    found = only(backend(settings))
    assert found == Finding("backend", True, f"s3://{bucket}/state can be written and read")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket), "the probe is taken away"


def test_the_endpoint_of_the_url_is_asked(
    configure: Configure, local_aws: LocalAws, bucket: str
) -> None:
    """As the official program does: the URL's own endpoint comes before AWS_ENDPOINT_URL."""
    endpoint = local_aws.endpoint_url.removeprefix("https://")
    there = f"s3://{bucket}?endpoint={endpoint}&region=eu-west-1&s3ForcePathStyle=true"
    elsewhere = "https://127.0.0.1:1"
    settings = configure(local_aws, HANDOVER_BACKEND_URL=there, AWS_ENDPOINT_URL=elsewhere)
    assert only(backend(settings)).ok
    settings = configure(
        local_aws, HANDOVER_BACKEND_URL=f"s3://{bucket}", AWS_ENDPOINT_URL=elsewhere
    )
    found = only(backend(settings))
    assert not found.ok
    assert "not reached" in found.detail


def test_a_bucket_that_is_not_there(configure: Configure, local_aws: LocalAws, unique: str) -> None:
    settings = configure(local_aws, HANDOVER_BACKEND_URL=f"s3://{unique}/state")
    found = only(backend(settings))
    assert not found.ok
    assert "NoSuchBucket" in found.detail
    assert found.remedy == (
        f"let the service's credentials write, read, list and delete below s3://{unique}/state"
    )


def test_the_embedded_engine_says_why_it_takes_files_only(
    configure: Configure, local_aws: LocalAws, bucket: str
) -> None:
    """Nothing is tried: the answer is the same whether the bucket is there or not."""
    settings = configure(
        local_aws, HANDOVER_BACKEND_URL=f"s3://{bucket}", HANDOVER_ENGINE="embedded"
    )
    found = only(backend(settings))
    assert not found.ok
    assert "only file://: its locks and its writes that a crash can't tear" in found.detail
    assert "HANDOVER_ENGINE=official" in found.remedy


@pytest.mark.parametrize("form", ["id", "alias", "arn", "context"])
def test_a_key_encrypts_and_decrypts(
    configure: Configure, with_kms: LocalAws, unique: str, form: str
) -> None:
    """Every form of an ``awskms://`` URL that the official program knows."""
    kms: Any = client_of(with_kms, "kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{unique}", TargetKeyId=key["KeyId"])
    url = {
        "id": f"awskms://{key['KeyId']}?region=eu-west-1",
        "alias": f"awskms://alias/{unique}?region=eu-west-1",
        "arn": f"awskms:///{key['Arn']}?region=eu-west-1",
        "context": f"awskms://alias/{unique}?region=eu-west-1&context_team=images",
    }[form]
    found = only(secrets_provider(configure(with_kms, HANDOVER_SECRETS_PROVIDER=url)))
    shown = url.split("?")[0]
    assert found == Finding("secrets provider", True, f"{shown} encrypts and decrypts")


def test_a_key_that_does_not_work(configure: Configure, with_kms: LocalAws) -> None:
    """No such key, and a key that is switched off: what AWS said, and what to permit."""
    url = "awskms://alias/nobody?region=eu-west-1"
    found = only(secrets_provider(configure(with_kms, HANDOVER_SECRETS_PROVIDER=url)))
    assert not found.ok
    assert "NotFound" in found.detail
    assert "kms:Encrypt and kms:Decrypt with awskms://alias/nobody" in found.remedy
    kms: Any = client_of(with_kms, "kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    settings = configure(with_kms, HANDOVER_SECRETS_PROVIDER=f"awskms://{key}?region=eu-west-1")
    found = only(secrets_provider(settings))
    assert not found.ok
    assert "Disabled" in found.detail


def test_the_embedded_engine_has_no_keys_of_kms(configure: Configure, with_kms: LocalAws) -> None:
    settings = configure(
        with_kms, HANDOVER_SECRETS_PROVIDER="awskms://alias/x", HANDOVER_ENGINE="embedded"
    )
    found = only(secrets_provider(settings))
    assert not found.ok
    assert found.detail == "the embedded engine knows only passphrase, not awskms://alias/x"
    assert "HANDOVER_ENGINE=official" in found.remedy
