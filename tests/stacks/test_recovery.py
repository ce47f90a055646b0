"""What an engine that died leaves behind is put right before the next up or destroy."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.aws.guarding import guarded
from engine.localaws import LocalAws
from engine.survivors import held
from stacks import automation
from stacks.areas import Areas
from stacks.automation import Stacks
from stacks.backend import Deployment
from stacks.client import TAG_CLIENT, AreaInputs, ClientProgram
from stacks.failures import LOCKED, StackError
from stacks.recovery import recover
from tests.faults.calls import Call
from tests.faults.faults import Tell
from tests.faults.proxy import FaultProxy
from tests.stacks.conftest import BUCKET, NewArea


def key_ids(iam: Any, area: AreaInputs) -> list[str]:
    keys = iam.list_access_keys(UserName=area.slug)["AccessKeyMetadata"]
    return [key["AccessKeyId"] for key in keys]


def died_while_creating(areas: Areas, area: AreaInputs, name: str) -> None:
    """Leave the stack as an engine does that died after AWS's answer: pending, not recorded.

    Written into the checkpoint itself: an import drops pending operations.
    """
    root = Path(areas.stacks.backend.url.removeprefix("file://"))
    checkpoint = root / ".pulumi" / "stacks" / ClientProgram.project_name / f"{area.slug}.json"
    document = json.loads(checkpoint.read_text())
    latest = document["checkpoint"]["latest"]
    [lost] = [r for r in latest["resources"] if r["urn"].endswith(f"::{name}")]
    latest["resources"] = [r for r in latest["resources"] if r is not lost]
    begun = {field: value for field, value in lost.items() if field not in ("id", "outputs")}
    latest["pending_operations"] = [{"resource": begun, "type": "creating"}]
    checkpoint.write_text(json.dumps(document))


def test_a_key_that_was_made_and_never_recorded_is_removed_before_another_is_made(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    """Never two keys where one is due."""
    area = new_area()
    lost = areas.open(area).keys[0].access_key_id
    died_while_creating(areas, area, "key-1")
    opened = areas.open(area)
    assert any(lost in action for action in opened.recovered.actions)
    assert key_ids(iam, area) == [opened.keys[0].access_key_id] != [lost]
    state = areas.stacks.export(ClientProgram(area))
    assert state is not None
    assert state.pending_operations() == []


def test_a_user_that_was_made_and_never_recorded_is_made_anew(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    area = new_area()
    iam.create_user(UserName=area.slug, Tags=[{"Key": TAG_CLIENT, "Value": area.client_id}])
    iam.create_access_key(UserName=area.slug)
    opened = areas.open(area)
    assert opened.recovered.actions
    assert key_ids(iam, area) == [opened.keys[0].access_key_id]


def test_a_half_made_placeholder_goes_with_the_rest(
    areas: Areas, new_area: NewArea, s3: Any
) -> None:
    """Rollback after a death in the middle leaves nothing."""
    area = new_area()
    areas.open(area)
    died_while_creating(areas, area, "placeholder")
    areas.close(area)
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=BUCKET, Key=area.placeholder_key)


def test_a_key_added_by_hand_goes_with_the_next_up(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    """A key of our tagged user that the state does not know is deleted, never adopted."""
    area = new_area()
    known = areas.open(area).keys[0].access_key_id
    iam.create_access_key(UserName=area.slug)
    areas.open(area)
    assert key_ids(iam, area) == [known]


def test_nothing_is_done_where_nothing_is_half_made(areas: Areas, new_area: NewArea) -> None:
    area = new_area()
    areas.open(area)
    assert recover(areas.stacks, areas.access, area).actions == ()


def test_a_user_whose_tag_was_taken_away_is_still_the_stacks(
    areas: Areas, new_area: NewArea, iam: Any
) -> None:
    """Taking our tag off by hand neither blocks a closing nor keeps a known key alive (RX-22)."""
    area = new_area()
    key_id = areas.open(area).keys[0].access_key_id
    iam.untag_user(UserName=area.slug, TagKeys=[TAG_CLIENT])
    assert areas.key_off(area, [key_id]).access_key_ids == (key_id,)
    areas.close(area)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_user(UserName=area.slug)


def survivor(areas: Areas, area: AreaInputs, code: str) -> subprocess.Popen[bytes]:
    """Leave a process behind that does this, as a killed engine leaves its plugin."""
    folder = areas.stacks.backend.work_directory / ClientProgram.project_name
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / f"{area.slug}.running") as descriptor:
        return subprocess.Popen([sys.executable, "-c", code], pass_fds=[descriptor])


def test_it_waits_for_what_a_killed_engine_left_running(
    areas: Areas, new_area: NewArea, iam: Any, tmp_path: Path
) -> None:
    """What that makes a moment later is seen: never two keys where one is due."""
    area, last = new_area(), tmp_path / "last"
    areas.open(area)
    code = f"import pathlib, time; time.sleep(1.5); pathlib.Path({str(last)!r}).touch()"
    with survivor(areas, area, code):
        recover(areas.stacks, areas.access, area)
        assert last.exists()
    assert len(key_ids(iam, area)) == 1


def test_it_does_not_wait_for_ever(
    areas: Areas, new_area: NewArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is touched, and whoever asked tries again later."""
    monkeypatch.setattr(automation, "_SURVIVORS_SECONDS", 0.2)
    area = new_area()
    with survivor(areas, area, "import time; time.sleep(600)") as process:
        with pytest.raises(StackError) as caught:
            areas.open(area)
        process.kill()
    assert caught.value.failure.code == LOCKED
    assert caught.value.failure.transient
    areas.open(area)


class CutOff(BaseException):
    """What a worker does that others have taken for dead, where the real one ends its process."""


def test_who_was_frozen_in_it_deletes_nothing_of_its_successors(
    areas: Areas, new_area: NewArea, iam: Any, local_aws: LocalAws
) -> None:
    """Never more or fewer keys than one: it decided on what was there long ago."""
    area, made = new_area(), []
    iam.create_user(UserName=area.slug, Tags=[{"Key": TAG_CLIENT, "Value": area.client_id}])

    def successor(_call: Call) -> None:
        made.append(areas.open(area).keys[0].access_key_id)

    def check() -> None:
        if made:
            raise CutOff

    with FaultProxy(local_aws) as proxy:
        proxy.inject("GetUser", Tell(successor, after=True), times=1)
        backend = replace(areas.stacks.backend, environment=proxy.environment())
        frozen = Areas(Stacks(backend), bucket=BUCKET, region=areas.region, group=areas.group)
        with guarded(check), pytest.raises(CutOff):
            frozen.open(area)
    assert key_ids(iam, area) == made


def test_who_is_cut_off_writes_no_state(areas: Areas, new_area: NewArea) -> None:
    """What it read is older than what its successor wrote."""
    area = new_area()
    areas.open(area)
    program = ClientProgram(area)
    state = areas.stacks.export(program)
    assert state is not None

    def check() -> None:
        raise CutOff

    with guarded(check), pytest.raises(CutOff):
        areas.stacks.import_(program, Deployment(state.version, {}))
    after = areas.stacks.export(program)
    assert after is not None
    assert [one["urn"] for one in after.resources()] == [one["urn"] for one in state.resources()]
