"""The official program with its state in S3 and its secrets under KMS, on the local AWS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.localaws import SERVICES, LocalAws
from stacks.automation import Stacks
from stacks.backend import Backend
from tests.localaws import client_of
from tests.stacks.test_stopping import Users, make_stacks

pytestmark = pytest.mark.official


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that has KMS too."""
    with LocalAws.start(tmp_path_factory.mktemp("remote"), services=(*SERVICES, "kms")) as local:
        yield local


def test_state_in_a_bucket_and_secrets_under_a_key(tmp_path: Path, cloud: LocalAws) -> None:
    """Two machines (work folders) share a stack; `handover doctor` tries the same two things."""
    s3: Any = client_of(cloud, "s3")
    kms: Any = client_of(cloud, "kms")
    where = {"LocationConstraint": cloud.region}
    s3.create_bucket(Bucket="state", CreateBucketConfiguration=where)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    local = make_stacks("official", tmp_path, cloud).backend

    def machine(name: str) -> Stacks:
        return Stacks(
            Backend(
                url="s3://state/handover?region=eu-west-1&s3ForcePathStyle=true",
                engine="official",
                environment=local.environment,
                secrets_provider=f"awskms://{key}?region=eu-west-1",
                work_directory=tmp_path / name,
            )
        )

    program = Users("remote", 2)
    machine("one").up(program)
    assert machine("two").preview(program) == []
    stored = s3.list_objects_v2(Bucket="state", Prefix="handover/.pulumi/stacks/")["Contents"]
    assert f"handover/.pulumi/stacks/{program.project_name}/remote.json" in [
        entry["Key"] for entry in stored
    ]
    state = machine("two").export(program)
    assert state is not None
    assert state.deployment["secrets_providers"]["type"] == "cloud"
    machine("two").destroy(program)
    assert not machine("one").exists(program)
