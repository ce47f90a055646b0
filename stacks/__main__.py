"""The client program for the `pulumi` program itself: what `Pulumi.yaml` names as `main`.

``pulumi preview`` in the root of the repository shows the area that the stack's config describes.
"""

import pulumi

from stacks.client import AreaInputs, ClientProgram, KeyGeneration


def inputs_from_config(config: pulumi.Config) -> AreaInputs:
    """Return the area that the stack's config describes.

    Raises `pulumi.ConfigMissingError` that names the first missing key.
    """
    return AreaInputs(
        client_id=config.require("clientId"),
        slug=config.get("slug") or pulumi.get_stack(),
        bucket=config.require("bucket"),
        region=config.require("region"),
        group=config.get("group") or "Clients",
        boundary_arn=config.require("boundaryArn"),
        profile=config.get("profile") or "hardened",
        keys=tuple(
            KeyGeneration(generation)
            for generation in range(1, (config.get_int("keyGenerations") or 1) + 1)
        ),
    )


if __name__ == "__main__":
    ClientProgram(inputs_from_config(pulumi.Config()))()
