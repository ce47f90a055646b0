"""From the database's rows to the plain values that a stack is made of."""

from collections.abc import Sequence

from models.access_keys import AccessKey, AccessKeyStatus
from models.clients import Client
from service.settings import Settings
from stacks.client import AreaInputs, KeyGeneration
from stacks.policies import partition_of


def boundary_arn(settings: Settings, account: str) -> str:
    """Return the ARN of the permissions boundary in this account."""
    return f"arn:{partition_of(settings.region)}:iam::{account}:policy/{settings.boundary_name}"


def area_inputs(
    settings: Settings, account: str, client: Client, keys: Sequence[AccessKey]
) -> AreaInputs:
    """Return the inputs of a client's stack; deleted keys are no part of it.

    Of a suspended client no key is wished active, whatever the key's own row says (RX-22).
    """
    return AreaInputs(
        client_id=client.id,
        slug=client.slug,
        bucket=client.bucket,
        region=client.region,
        group=settings.group,
        boundary_arn=boundary_arn(settings, account),
        profile=client.profile.value,
        keys=tuple(
            KeyGeneration(key.generation, wished_active(client, key))
            for key in sorted(keys, key=lambda key: key.generation)
            if key.status is not AccessKeyStatus.deleted
        ),
    )


def wished_active(client: Client, key: AccessKey) -> bool:
    """Tell whether the key is to work now: its own status, and no suspension of its client."""
    return key.status is AccessKeyStatus.active and client.suspended_at is None
