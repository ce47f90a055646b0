"""Configuration: what is required, what is refused, and that a trial never reaches production."""

import ast
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.aws.clients import ANSWER_SECONDS, SETTLE_SECONDS
from engine.aws.clients import Settings as AwsSettings
from models.countries import EU_REGIONS
from service.assembly import aws_environment
from service.cli.main import settings_sentence
from service.local import local_settings
from service.settings import Settings

REQUIRED = {
    "HANDOVER_ORGANISATION_NAME": "Test Ltd",
    "HANDOVER_DPO_CONTACT": "dpo@test.example",
    "HANDOVER_HELP_CONTACT": "help@test.example",
    "HANDOVER_TIME_ZONE": "Europe/Madrid",
    "HANDOVER_BUCKET": "test-clients",
    "HANDOVER_REGION": "eu-south-2",
    "HANDOVER_PASSPHRASE": "of the test",
}


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set what is required, in a folder without a ``.env``."""
    monkeypatch.chdir(tmp_path)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def test_the_environment_is_enough() -> None:
    """SP-18: the bucket's name is configuration."""
    settings = Settings()
    assert (settings.bucket, settings.region) == ("test-clients", "eu-south-2")
    assert settings.engine == "auto"


def test_a_dotenv_file_counts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HANDOVER_GROUP=Partners\nUNRELATED=1\n")
    assert Settings().group == "Partners"


@pytest.mark.parametrize("name", REQUIRED)
def test_each_required_setting_is_named_when_it_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret has a default (PB-13)."""
    monkeypatch.delenv(name)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert name in settings_sentence(caught.value)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-2", "eu-central-2", "mars-1"])
def test_a_region_outside_the_union_is_refused(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SP-03: London and Zurich are not in the European Union."""
    monkeypatch.setenv("HANDOVER_REGION", region)
    with pytest.raises(ValidationError) as caught:
        Settings()
    sentence = settings_sentence(caught.value)
    assert "HANDOVER_REGION" in sentence
    assert "eu-west-1" in sentence


@pytest.mark.parametrize("region", sorted(EU_REGIONS))
def test_each_region_of_the_union_is_taken(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SP-03."""
    monkeypatch.setenv("HANDOVER_REGION", region)
    assert Settings().region == region


def test_a_wrong_value_is_told_without_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_TIME_ZONE", "Atlantis/Capital")
    with pytest.raises(ValidationError) as caught:
        Settings()
    sentence = settings_sentence(caught.value)
    assert "HANDOVER_TIME_ZONE is not an IANA time zone" in sentence
    assert "Atlantis" not in sentence


def test_secrets_are_not_printed() -> None:
    """PB-13."""
    assert "of the test" not in repr(Settings())


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_PROFILES_ALLOWED", "hardened, read-only")
    assert [profile.value for profile in Settings().profiles_allowed] == ["hardened", "read-only"]


def test_webhook_destinations_are_lists_of_hosts_and_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is allowed unless it is named."""
    assert (Settings().webhook_hosts_allowed, Settings().webhook_networks_allowed) == ((), ())
    monkeypatch.setenv("HANDOVER_WEBHOOK_HOSTS_ALLOWED", "Hooks.example.com, *.example.net")
    monkeypatch.setenv("HANDOVER_WEBHOOK_NETWORKS_ALLOWED", "10.1.0.0/16, fd00:1::/64")
    settings = Settings()
    assert settings.webhook_hosts_allowed == ("hooks.example.com", "*.example.net")
    assert [str(net) for net in settings.webhook_networks_allowed] == ["10.1.0.0/16", "fd00:1::/64"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HANDOVER_WEBHOOK_HOSTS_ALLOWED", "*"),
        ("HANDOVER_WEBHOOK_HOSTS_ALLOWED", "https://hooks.example.com/"),
        ("HANDOVER_WEBHOOK_NETWORKS_ALLOWED", "everything"),
        ("HANDOVER_WEBHOOK_NETWORKS_ALLOWED", "10.0.0.1/8"),
    ],
)
def test_an_unclear_webhook_destination_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert name in settings_sentence(caught.value)


def test_local_mode_does_not_reach_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RX-07: a trial started with production's environment stays in its folder."""
    for name, value in {
        "HANDOVER_DATABASE_URL": "postgresql://production/handover",
        "HANDOVER_BACKEND_URL": "s3://production-state",
        "HANDOVER_SECRETS_PROVIDER": "awskms://alias/production",
        "HANDOVER_KEYRING_FILE": "/etc/handover/sealing.json",
        "HANDOVER_ALLOW_EMBEDDED_ON_AWS": "true",
        "HANDOVER_WEBHOOK_HOSTS_ALLOWED": "hooks.production.example",
        "HANDOVER_WEBHOOK_NETWORKS_ALLOWED": "10.0.0.0/8",
    }.items():
        monkeypatch.setenv(name, value)
    settings = local_settings(tmp_path / "data")
    inside = str(tmp_path / "data")
    assert settings.database.startswith(f"sqlite:///{inside}")
    assert settings.state_url.startswith(f"file://{inside}")
    assert str(settings.keyring).startswith(inside)
    assert settings.secrets_provider == "passphrase"
    assert not settings.allow_embedded_on_aws
    assert settings.webhook_hosts_allowed == ("localhost", "127.0.0.1", "::1")
    assert all(network.is_loopback for network in settings.webhook_networks_allowed)
    assert settings.region == "eu-west-1"


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"<svg></svg>", b"0" * 300_000])
def test_an_unusable_logo_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """A file that is missing, no picture, or too large is named by its setting, not by a client."""
    file = tmp_path / "logo"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("HANDOVER_LOGO_FILE", str(file))
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "HANDOVER_LOGO_FILE" in settings_sentence(caught.value)


def test_patience_with_aws_reaches_engine_and_direct_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set is what each call allows; without, the engine's own figures hold."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    usual = AwsSettings.of(aws_environment(Settings(allow_embedded_on_aws=True)), {})
    assert (usual.answer_seconds, usual.settle_seconds) == (ANSWER_SECONDS, SETTLE_SECONDS)
    monkeypatch.setenv("HANDOVER_ALLOW_EMBEDDED_ON_AWS", "true")
    monkeypatch.setenv("HANDOVER_AWS_ANSWER_SECONDS", "7")
    monkeypatch.setenv("HANDOVER_AWS_SETTLE_SECONDS", "45.5")
    told = AwsSettings.of(aws_environment(Settings()), {})
    assert (told.answer_seconds, told.settle_seconds) == (7.0, 45.5)
    monkeypatch.setenv("HANDOVER_AWS_ANSWER_SECONDS", "0")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "HANDOVER_AWS_ANSWER_SECONDS" in settings_sentence(caught.value)


def test_each_setting_does_something() -> None:
    """A setting that nothing reads would mislead whoever sets it."""
    service = Path(__file__).resolve().parents[2] / "service"
    read = {
        node.attr
        for file in service.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert set(Settings.model_fields) - read == set()
