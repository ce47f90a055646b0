"""Areas on the embedded engine and the local AWS, with a foundation of their own."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from stacks.areas import Areas
from stacks.automation import Stacks
from stacks.backend import Backend
from stacks.client import AreaInputs, KeyGeneration
from stacks.foundation import FoundationInputs
from stacks.foundation_stack import Foundation

# Names of their own: other houses' tests share the local AWS and have a foundation there too.
BUCKET = "stacks-legit-health-clients"
GROUP = "StacksClients"
BOUNDARY = "stacks-client-boundary"

NewArea = Callable[..., AreaInputs]


@pytest.fixture(scope="session")
def stacks(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """Stacks on a file backend of this test process."""
    root: Path = tmp_path_factory.mktemp("stacks")
    (root / "state").mkdir()
    return Stacks(
        Backend(
            url=f"file://{root / 'state'}",
            engine="embedded",
            environment=local_aws.environment(),
            passphrase="correct horse",
            work_directory=root / "work",
        )
    )


@pytest.fixture(scope="session")
def inputs(areas_without_foundation: Areas) -> FoundationInputs:
    """The inputs of the foundation of this test process."""
    account = areas_without_foundation.account()
    return FoundationInputs(BUCKET, "eu-west-1", account, GROUP, BOUNDARY)


@pytest.fixture(scope="session")
def areas_without_foundation(stacks: Stacks) -> Areas:
    """Areas before anything else was made."""
    return Areas(stacks, bucket=BUCKET, region="eu-west-1", group=GROUP)


@pytest.fixture(scope="session")
def areas(areas_without_foundation: Areas, stacks: Stacks, inputs: FoundationInputs) -> Areas:
    """Areas with their foundation."""
    Foundation(stacks, inputs).up()
    return areas_without_foundation


@pytest.fixture
def new_area(inputs: FoundationInputs) -> NewArea:
    """`new_area(profile=…, generations=…)`: the inputs of an area of a new client."""

    def make(
        slug: str | None = None, profile: str = "hardened", generations: tuple[int, ...] = (1,)
    ) -> AreaInputs:
        client_id = uuid.uuid4().hex
        return AreaInputs(
            client_id=client_id,
            slug=slug or f"Client-{client_id[:8]}",
            bucket=BUCKET,
            region="eu-west-1",
            group=GROUP,
            boundary_arn=inputs.boundary_arn,
            profile=profile,
            keys=tuple(KeyGeneration(generation) for generation in generations),
        )

    return make
