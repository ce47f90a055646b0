"""Areas on the tests' local AWS, with their Pulumi state in a folder of the test."""

from pathlib import Path

from pydantic import SecretStr

from engine.localaws import LocalAws
from service.assembly import build_areas
from service.settings import LocalSettings
from stacks.areas import Areas


def build_local_areas(local: LocalAws, folder: Path) -> Areas:
    """Return areas of the local AWS on the embedded engine."""
    settings = LocalSettings(
        data_directory=folder,
        region=local.region,
        passphrase=SecretStr("of the tests"),
        # No test makes it: readiness has to see that it is missing.
        bucket="a-bucket-that-is-not-there",
    )
    return build_areas(settings, local.environment())
