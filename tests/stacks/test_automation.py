"""Which engine is chosen, and that the program of `Pulumi.yaml` is the service's own."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from engine.localaws import LocalAws
from stacks.__main__ import inputs_from_config
from stacks.areas import Areas
from stacks.backend import choose_engine, official_aws_plugin
from stacks.client import AreaInputs, ClientProgram, KeyGeneration
from stacks.failures import UNKNOWN_CODE, classify, code_in
from tests.stacks.conftest import NewArea

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with neither `pulumi` nor plugins: an empty PATH and an empty PULUMI_HOME."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def install_program(machine: Path) -> None:
    program = machine / "bin" / "pulumi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def test_auto_is_official_only_with_program_and_plugin(machine: Path) -> None:
    environment = {"PULUMI_HOME": str(machine / "home")}
    assert choose_engine("auto", environment) == "embedded"
    install_program(machine)
    assert choose_engine("auto", environment) == "embedded"
    (machine / "home" / "plugins" / "resource-aws-v7.51.1").mkdir(parents=True)
    assert choose_engine("auto", environment) == "official"
    assert choose_engine("embedded", environment) == "embedded"


def test_auto_takes_our_plugin_too(machine: Path) -> None:
    """`pulumi-resource-aws` on PATH is what the official program itself prefers."""
    install_program(machine)
    environment = {"PULUMI_HOME": str(machine / "home")}
    ours = machine / "bin" / "handover-resource-aws"
    ours.write_text("#!/bin/sh\n")
    link = machine / "bin" / "pulumi-resource-aws"
    link.symlink_to(ours)
    assert choose_engine("auto", environment) == "embedded", "it can't be run"
    ours.chmod(0o755)
    assert official_aws_plugin(environment) == link
    assert choose_engine("auto", environment) == "official"


def test_what_is_asked_for_by_name_is_used(machine: Path) -> None:
    assert choose_engine("official", {}) == "official"


def test_the_project_file_names_the_program_of_the_service() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    assert project["name"] == ClientProgram.project_name
    assert project["main"] == "stacks"
    assert (ROOT / "stacks" / "__main__.py").exists()


def test_the_config_of_a_bare_preview_gives_the_areas_inputs(
    areas: Areas, new_area: NewArea
) -> None:
    """`pulumi preview` declares what the service declares: on an open area it changes nothing."""
    area = new_area()
    areas.open(area)
    seen: list[AreaInputs] = []

    class Configured:
        project_name = ClientProgram.project_name
        stack_name = area.slug

        def __call__(self) -> None:
            values: dict[str, Any] = {
                "clientId": area.client_id,
                "bucket": area.bucket,
                "region": area.region,
                "group": area.group,
                "boundaryArn": area.boundary_arn,
            }
            pulumi.runtime.set_all_config(
                {f"{self.project_name}:{name}": value for name, value in values.items()}
            )
            seen.append(inputs_from_config(pulumi.Config()))
            ClientProgram(seen[0])()

    assert areas.stacks.preview(Configured()) == []
    assert seen == [area]


def test_outputs_tell_plain_values_from_secrets(areas: Areas, new_area: NewArea) -> None:
    """SP-22: the secret is an output that nothing prints."""
    area = new_area()
    outputs = areas.stacks.up(ClientProgram(area))
    assert set(outputs.secrets) == {"access_key_secrets"}
    assert outputs.plain["user_name"] == area.slug
    assert str(outputs.secrets["access_key_secrets"]["1"]) not in repr(outputs)
    assert AreaInputs(**{**vars(area), "keys": (KeyGeneration(1),)}) == area


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "creating IAM User (ABC): operation error IAM: CreateUser, https response error "
            "StatusCode: 409, RequestID: 1-2, EntityAlreadyExists: User with name ABC exists.",
            "EntityAlreadyExists",
        ),
        (
            "putting S3 Bucket policy: operation error S3: PutBucketPolicy, https response error "
            "StatusCode: 403, RequestID: X, HostID: Y, api error AccessDenied: Access Denied",
            "AccessDenied",
        ),
        (
            "An error occurred (Throttling) when calling the CreateUser operation: Rate exceeded",
            "Throttling",
        ),
        ("creating user: quota reached (LimitExceeded)", "LimitExceeded"),
        ("something of Python's own", None),
    ],
)
def test_the_aws_code_is_found_in_either_engines_words(text: str, code: str | None) -> None:
    assert code_in(text) == code
    assert classify([("", text)]).code == (code or UNKNOWN_CODE)


def test_no_folder_is_left_behind(
    areas: Areas, new_area: NewArea, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each workspace without a folder of its own would leave one behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    area = new_area()
    areas.open(area)
    areas.drift(area)
    areas.preview_close(area)
    areas.close(area)
    assert list(tmp_path.iterdir()) == []


def test_the_engine_gets_the_given_environment_only(
    areas: Areas, new_area: NewArea, monkeypatch: pytest.MonkeyPatch, local_aws: LocalAws
) -> None:
    """RX-07: credentials of the process do not reach AWS through an area's engine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEPROCESSITSELF")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the process")
    assert areas.open(new_area()).keys
    assert local_aws.running
