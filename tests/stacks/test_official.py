"""The whole of an area on the official program, with our provider as its AWS plugin."""

import sys
from pathlib import Path
from typing import Any

import pytest

from engine.localaws import LocalAws
from stacks.areas import Areas
from stacks.automation import Stacks
from stacks.backend import Backend
from stacks.client import ClientProgram
from tests.stacks.conftest import BUCKET, GROUP, NewArea

pytestmark = pytest.mark.official

PLUGIN = Path(sys.executable).with_name("handover-resource-aws")


@pytest.fixture
def official(
    areas: Areas, local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Areas:
    """Areas on the official program and the foundation that the other tests share."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pulumi-resource-aws").symlink_to(PLUGIN)
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    backend = Backend(
        url=f"file://{tmp_path / 'state'}",
        engine="official",
        environment={**local_aws.environment(), "PULUMI_HOME": str(tmp_path / "home")},
        passphrase="correct horse",
        work_directory=tmp_path / "work",
    )
    assert areas.readiness().foundation
    return Areas(Stacks(backend), bucket=BUCKET, region="eu-west-1", group=GROUP)


def test_an_area_opens_and_closes_on_the_official_program(
    official: Areas, new_area: NewArea, iam: Any
) -> None:
    area = new_area()
    opened = official.open(area)
    key = opened.keys[0]
    official.prove(area, key.access_key_id, key.secret_access_key)
    assert official.open(area).keys == opened.keys
    assert official.preview_open(area) == []
    assert official.drift(area) == []
    official.key_off(area)
    official.close(area)
    assert not official.stacks.exists(ClientProgram(area))
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=area.slug)
